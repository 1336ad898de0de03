// The sphere view's own geometry against numbers from numpy and scipy: node --test, with MODULE and REFERENCE set.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const view = await import(process.env.MODULE);
const reference = JSON.parse(readFileSync(process.env.REFERENCE, "utf-8"));

function near(found, wanted, tolerance = 1e-5) {
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < wanted.length; i++) assert.ok(Math.abs(found[i] - wanted[i]) <= tolerance, `${i}: ${found[i]}, wanted ${wanted[i]}`);
}

test("points are turned and put on the screen", () => {
  const { points, rotation, x, y, z } = reference.placed;
  const at = view.toScreen(Float32Array.from(points), 3, rotation, 300, 200, 150);
  near(at.x, x, 1e-3);
  near(at.y, y, 1e-3);
  near(at.z, z);
  const flat = view.toScreen(Float32Array.of(0.5, -1), 2, rotation, 10, 20, 4);
  assert.deepEqual([flat.x[0], flat.y[0], flat.z[0]], [12, 24, 0]);
});

test("a turn is a product of rotations and stays one", () => {
  near(view.rotate(reference.placed.rotation, 0.3, -0.7), reference.turned);
  let R = reference.placed.rotation;
  for (let i = 0; i < 5000; i++) R = view.rotate(R, 0.1, 0.07);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      near([view.dot3(R.slice(3 * i, 3 * i + 3), R.slice(3 * j, 3 * j + 3))], [Number(i === j)], 1e-12);
    }
  }
  const [front, x] = [[0, 0, 1], (r) => view.toScreen(Float32Array.of(0, 0, 1), 3, r, 0, 0, 1)];
  const right = x(view.rotate([1, 0, 0, 0, 1, 0, ...front], 0.2, 0));
  const down = x(view.rotate([1, 0, 0, 0, 1, 0, ...front], 0, 0.2));
  assert.ok(right.x[0] > 0.1 && down.y[0] > 0.1, "the near side follows the pointer");
});

for (const k of [2, 3]) {
  test(`points slide on great circles, k = ${k}`, () => {
    const { from, to, theta, s, way } = reference.slerp[k];
    const [a, b] = [Float32Array.from(from), Float32Array.from(to)];
    const found = view.angles(a, b, k);
    near(found, theta);
    s.forEach((t, i) => near(view.between(a, b, k, t, found), way[i], 1e-4));
    near(view.between(a, b, k, 0, found), from);
    near(view.between(a, b, k, 1, found), to);
  });
}

test("flat points go straight; opposite ones jump", () => {
  near(view.between(Float32Array.of(0, 0), Float32Array.of(2, 4), 2, 0.25, null), [0.5, 1]);
  const [a, b] = [Float32Array.of(1, 0, 0), Float32Array.of(-1, 0, 0)];
  for (const s of [0.2, 0.8]) near(view.between(a, b, 3, s, view.angles(a, b, 3)), s < 0.5 ? [1, 0, 0] : [-1, 0, 0]);
});

test("boundaries are the spherical Voronoi diagram", () => {
  for (const { centers, edges } of reference.voronoi) {
    const arcs = view.boundaries(Float32Array.from(centers));
    const found = Object.fromEntries(arcs.map((arc) => [`${arc.i} ${arc.j}`, arc.to - arc.from]));
    assert.deepEqual(Object.keys(found).sort(), Object.keys(edges).sort());
    for (const [pair, length] of Object.entries(edges)) near([found[pair]], [length], 1e-4);
    for (const arc of arcs) {
      const points = view.along(arc);
      for (let p = 0; p < points.length; p += 3) {
        const cos = Array.from({ length: centers.length / 3 }, (_, j) => view.dot3(points.slice(p, p + 3), centers.slice(3 * j, 3 * j + 3)));
        near([cos[arc.i], cos[arc.j]], [Math.max(...cos), Math.max(...cos)]);
      }
    }
  }
});

test("two centers share a whole great circle; one has no boundary, nor have two in one place", () => {
  const [arc, ...others] = view.boundaries([1, 0, 0, 0, 1, 0]);
  assert.equal(others.length, 0);
  near([arc.to - arc.from], [2 * Math.PI]);
  assert.deepEqual(view.boundaries([1, 0, 0]), []);
  assert.deepEqual(view.boundaries([1, 0, 0, 1, 0, 0]), []);
});

test("bisectors of a circle are where the nearest center changes", () => {
  for (const { directions, changes } of reference.circle) {
    const found = view.bisectors(directions).map((a) => (a + 4 * Math.PI) % (2 * Math.PI)).sort((a, b) => a - b);
    near(found, changes, 2e-3);
  }
  assert.deepEqual(view.bisectors([1]), []);
});

test("the histogram around a circle counts like numpy's", () => {
  const { points, rows, classes, bins, counts } = reference.rose;
  assert.deepEqual(view.rose(points, rows, classes, bins).map((row) => [...row]), counts);
});

test("the pointer finds the nearest point in front, a lasso those inside it", () => {
  const { x, y, z, pointer, nearest, polygon, caught } = reference.hit;
  const at = { x, y, z };
  pointer.forEach(([px, py], i) => assert.equal(view.hit(at, px, py, 12), nearest[i]));
  assert.deepEqual(view.pointsInside(at, polygon), caught);
  assert.ok(!view.inside([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], 2, 3), "a notch is outside");
});

test("bits are numpy's", () => {
  const { bytes, bits } = reference.bits;
  assert.deepEqual(bits.map((_, i) => view.bit(bytes, i)), bits);
});

test("marks cover each other without holes", () => {
  const pixels = new Uint32Array(30 * 30);
  const [disc, cross] = [view.mark("disc", 3), view.mark("cross", 4)];
  view.stamp(pixels, 30, 30, disc, 15, 15, view.packColor("#0072B2"), 256);
  assert.equal(pixels[15 * 30 + 15], 0xffb27200);
  const before = pixels.map((p) => p >>> 24);
  for (let i = 0; i < 9; i++) view.stamp(pixels, 30, 30, i % 2 ? cross : disc, 13 + i / 2, 15, view.packColor("#D55E00"), 200);
  pixels.forEach((p, i) => assert.ok(p >>> 24 >= before[i] - 2, `${i} lost opacity: ${p >>> 24}, was ${before[i]}`));
  view.stamp(pixels, 30, 30, disc, -5, 200, 0, 256); // off the picture: nothing, and no error
  assert.notDeepEqual(disc.alpha, view.mark("cross", 3).alpha);
});

test("a frame is decoded, slid to from what is shown, and not slid to from another projection", () => {
  const bytes = (array) => new DataView(array.buffer);
  const frame = (name, points) => ({
    head: { kind: "sphere", view: name, reach: 2 },
    arrays: [bytes(Int16Array.from(points)), bytes(Float32Array.of(0, 0, 1)), bytes(Uint8Array.of(128))],
  });
  const shown = {};
  view.take(shown, frame("a", [32767, 0, 0]), true, 1000);
  near(shown.points, [2, 0, 0]);
  view.take(shown, frame("a", [0, 32767, 0]), true, 1100);
  near(shown.theta, [Math.PI / 2]);
  near(shown.from, [2, 0, 0]);
  assert.equal(shown.span, 100);
  assert.equal(shown.wrong[0], 128);
  view.take(shown, frame("b", [0, 0, 32767]), true, 1200);
  assert.equal(shown.theta, undefined);
  near(shown.points, [0, 0, 2]);
  view.take(shown, frame("b", [0, 32767, 0]), false, 1300);
  assert.equal(shown.theta, undefined);
  view.take(shown, frame("b", [32767, 0, 0]), true, 1320);
  assert.equal(shown.theta, undefined, "frames this fast are fluent by themselves");
});
