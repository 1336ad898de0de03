// What the queue inspector decides by itself, without a page: node --test, with MODULE set.

import assert from "node:assert/strict";
import { test } from "node:test";

const { missingImages, nextRow, rowStyle } = await import(process.env.MODULE);

test("keys move the focus and stop at both ends", () => {
  assert.equal(nextRow("ArrowDown", 1, 4), 2);
  assert.equal(nextRow("ArrowDown", 3, 4), 3);
  assert.equal(nextRow("ArrowUp", 0, 4), 0);
  assert.equal(nextRow("End", 0, 4), 3);
  assert.equal(nextRow("Home", 2, 4), 0);
  assert.equal(nextRow("a", 2, 4), 2);
});

test("rows are gray only where another class than the one shown is selected", () => {
  assert.equal(rowStyle(5, 2, []), "");
  assert.equal(rowStyle(5, 2, [2]), "");
  assert.equal(rowStyle(5, 2, [2, 5]), "picked");
  assert.equal(rowStyle(4, 2, [2, 5]), "gray");
});

test("an image is asked for once, and never that of no sample", () => {
  const rows = [{ images: [[3, "a"], [7, "b"]] }, { images: [[3, "a"], [-1, "c"]] }];
  assert.deepEqual(missingImages(rows, new Map()), [3, 7]);
  assert.deepEqual(missingImages(rows, new Map([[3, ""]])), [7]);
});
