// The ladder's geometry and the controls' messages, against numbers exported from Python (see test_live_curves.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const {
  climb, rungPosition, pieces, read, regions, meeting, valueOfT, valueOfBoundary, toSlider, fromSlider, masts, logitSpan, angle, messenger,
} = await import(process.env.MODULE);
const { ladders } = JSON.parse(readFileSync(process.env.NUMBERS, "utf8"));

for (const { name, ladder, between } of ladders) {
  const step = ladder.theta / (ladder.T[0].length - 1);

  test(`${name}: on a rung the rung itself`, () => {
    for (const k of [0, 7, ladder.values.length - 1]) {
      const found = climb(ladder, ladder.values[k]);
      assert.deepEqual(found.marks, ladder.marks[k]);
      const beside = (i) => ladder.marks[k][1].some((phi) => Math.abs(phi - i * step) < 1e-4); // on the jump: either side
      found.N.forEach((v, i) => assert.ok(beside(i) || Math.abs(v - ladder.N[k][i]) < 1e-6, `${v}, not ${ladder.N[k][i]}`));
    }
  });

  test(`${name}: between two rungs the curve of the margin itself`, () => {
    let followed = 0;
    for (const exact of between) {
      const found = climb(ladder, exact.value);
      if (found.value !== exact.value) continue; // the nearer rung, because something appears or vanishes here
      followed += 1;
      for (const [curve, kind] of [["T", 0], ["N", 1]]) {
        found[curve].forEach((v, i) => {
          const near = found.marks[kind].some((phi) => Math.abs(phi - i * step) < 2e-3);
          assert.ok(near || Math.abs(v - exact[curve][i]) < 1e-3, `${curve} at ${i}: ${v}, not ${exact[curve][i]}`);
        });
      }
      found.marks.forEach((at, kind) =>
        exact.marks[kind].forEach((_, i) => assert.ok(Math.abs(at[i] - exact.marks[kind][i]) < 6e-3, `${kind}: ${at}, not ${exact.marks[kind]}`)),
      );
    }
    assert.ok(followed > 0.8 * between.length, `${followed} of ${between.length}`);
  });

  test(`${name}: the value whose T passes through a place`, () => {
    if (!ladder.movesT) return;
    for (const exact of between.slice(2, 8)) {
      const phi = 20 * step;
      if (exact.marks[0].length) continue;
      assert.ok(Math.abs(valueOfT(ladder, phi, exact.T[20], exact.value) - exact.value) < 2e-3);
    }
  });
}

const flat = (value) => Float32Array.from({ length: 11 }, () => value);
const stepped = (at) => Float32Array.from({ length: 11 }, (_, i) => (i * 0.1 < at ? 0 : 1));
const plain = { theta: 1, values: [0, 1] };

test("a jump that moves is never smeared", () => {
  const marks = [0.25, 0.35].map((at) => [[], [at], [], []]);
  const ladder = { ...plain, T: [flat(0), flat(0)], N: [stepped(0.25), stepped(0.35)], marks };
  const found = climb(ladder, 0.5);
  assert.ok(Math.abs(found.marks[1][0] - 0.3) < 1e-9);
  assert.ok(found.N.every((v) => v === 0 || v === 1), [...found.N].join(" "));
});

test("a jump or boundary that appears between two rungs: the nearer rung, as it is", () => {
  const marks = [[[], [], [], []], [[], [0.35], [0.35], []]];
  const ladder = { ...plain, T: [flat(0), flat(0.5)], N: [flat(1), stepped(0.35)], marks };
  assert.deepEqual(climb(ladder, 0.4), { T: ladder.T[0], N: ladder.N[0], marks: marks[0], value: 0 });
  assert.deepEqual(climb(ladder, 0.6), { T: ladder.T[1], N: ladder.N[1], marks: marks[1], value: 1 });
});

test("jumps that are far apart are two jumps, not one that moved", () => {
  const marks = [0.15, 0.85].map((at) => [[], [at], [], []]);
  const ladder = { ...plain, T: [flat(0), flat(0)], N: [stepped(0.15), stepped(0.85)], marks };
  assert.equal(climb(ladder, 0.4).value, 0);
});

test("values outside the ladder are its ends, and one rung is a ladder", () => {
  assert.deepEqual(rungPosition([0, 1, 2], -1), [0, 0]);
  assert.deepEqual(rungPosition([0, 1, 2], 1.25), [1, 0.25]);
  assert.deepEqual(rungPosition([0, 1, 2], 9), [1, 1]);
  const one = { theta: 1, values: [3], T: [flat(0)], N: [flat(1)], marks: [[[], [], [], []]] };
  assert.deepEqual(climb(one, 5).T, flat(0));
});

test("pieces break at a jump and reach it from both sides", () => {
  const [before, after] = pieces(stepped(0.25), [0.25], 1);
  assert.deepEqual(before.at(-1), [0.25, 0]);
  assert.deepEqual(after[0], [0.25, 1]);
  assert.equal(pieces(flat(1), [], 1).length, 1);
});

test("regions tell who wins between the boundaries", () => {
  const falling = Float32Array.from({ length: 11 }, (_, i) => 1 - i * 0.1);
  const curves = { T: falling, N: flat(0.5), marks: [[], [], [0.5], []] };
  assert.deepEqual(regions(curves, 1), [[0, 0.5, true], [0.5, 1, false]]);
  assert.ok(Math.abs(read(falling, 0.33, 1) - 0.67) < 1e-6);
});

test("a pointer gets the value that meets it, the one nearest the present, or the nearest rung", () => {
  assert.ok(Math.abs(meeting([0, 1, 2], [0, 10, 20], 15, 0) - 1.5) < 1e-9);
  assert.ok(Math.abs(meeting([0, 1, 2, 3], [0, 10, 0, 10], 5, 2.6) - 2.5) < 1e-9);
  assert.equal(meeting([0, 1, 2], [0, 10, 20], 99, 0), 2);
  assert.equal(meeting([0, 1], [null, null], 1, 7), 7);
  const ladder = { ...plain, marks: [[[], [], [0.4], []], [[], [], [0.2], []]] };
  assert.ok(Math.abs(valueOfBoundary(ladder, 0.3, 0) - 0.5) < 1e-9);
});

test("a slider of equal factors goes there and back", () => {
  assert.equal(toSlider(1e-4, 1e-4, 1), 0);
  assert.equal(Math.round(toSlider(1e-2, 1e-4, 1)), 500);
  assert.equal(fromSlider(500, 1e-4, 1), 0.01);
});

test("labels: a shared one where both boundaries meet, stairs where they do not", () => {
  assert.deepEqual(masts([[], [], [0.5], [0.5]], 1.4).map((m) => m.label), [`actual = ideal ${angle(0.5)}`, ""]);
  const apart = masts([[], [], [0.5], [0.4]], 1.4);
  assert.deepEqual(apart.map((m) => [m.kind, m.leftward]), [["ideal", false], ["actual", false]]);
  assert.ok(apart[0].down < apart[1].down);
  assert.equal(angle(Math.PI / 6), "30.0° (0.524 rad)");
  assert.deepEqual(logitSpan([[0.2, 1.1], [-0.3]]), [-0.5, 2]);
});

test("at most one change is unanswered, and the newest wins", () => {
  const sent = [];
  const done = [];
  const post = messenger({ send: (message) => sent.push(message) }, { done: (...all) => done.push(all), late: () => {} });
  post.set({ m: 0.1 });
  post.set({ m: 0.2 });
  post.set({ m: 0.3 });
  assert.deepEqual(sent.map((s) => s.set), [{ m: 0.1 }]);
  post.answered({ answered: "another page" });
  assert.equal(sent.length, 1);
  post.answered({ answered: sent[0].id });
  assert.deepEqual(sent.map((s) => s.set), [{ m: 0.1 }, { m: 0.3 }]);
  post.answered({ answered: sent[1].id, problem: "m is too large" });
  assert.deepEqual(done, [[{ m: 0.1 }, ""], [{ m: 0.3 }, "m is too large"]]);
  post.close();
});
