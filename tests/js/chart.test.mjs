// The numbers of the chart's JavaScript against those that tests/panels/test_live_charts.py computes: node --test, with MODULE and NUMBERS set.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const chart = await import(process.env.MODULE);
const expected = JSON.parse(readFileSync(process.env.NUMBERS, "utf8"));

// The arrays of a frame as a comm brings them: views into a longer buffer, at odd places.
function unpack({ head, arrays }) {
  const views = arrays.map((text) => {
    const bytes = Buffer.from(text, "base64");
    const long = new Uint8Array(bytes.length + 3);
    long.set(bytes, 3);
    return new DataView(long.buffer, 3, bytes.length);
  });
  return chart.unpackLayers({ head, arrays: views });
}

const close = (found, wanted) => assert.ok(Math.abs(found - wanted) <= 1e-6 * (1 + Math.abs(wanted)), `${found} ${wanted}`);

test("the arrays of every view arrive under their names", () => {
  for (const { frame, sums } of expected.frames) {
    const layers = unpack(frame);
    const found = layers.flatMap((layer) =>
      ["edges", "heights", "x", "y", "group", "lit", "values", "at", "columns"].flatMap((name) => {
        const isArrays = ArrayBuffer.isView(layer[name]) ? [layer[name]] : name === "columns" ? (layer.columns ?? []) : [];
        return isArrays.map((values) => values.reduce((total, v) => (Number.isFinite(v) ? total + v : total), 0));
      }),
    );
    assert.equal(found.length, sums.length);
    found.forEach((sum, k) => assert.ok(Math.abs(sum - sums[k]) <= 1e-3 * (1 + Math.abs(sums[k]))));
  }
});

test("an axis takes values to shares and back", () => {
  for (const { value, span, log, part } of expected.shares) {
    close(chart.share(value, span, log), part);
    close(chart.valueAt(part, span, log), value);
  }
});

test("ticks lie on the axis at the places that were asked for", () => {
  const at = (span, options) => chart.axisTicks(span, options).map((tick) => tick.at);
  for (const { span, options, places } of expected.ticks) {
    const found = at(span, options);
    assert.equal(found.length, places.length, `${span} ${found}`);
    found.forEach((place, k) => close(place, places[k]));
  }
  const [right] = chart.axisTicks([Math.PI / 2, 1.6], { degrees: true, most: 4 });
  assert.equal(right.text, "90°\n1.57");
});

test("the threshold reads FAR and TAR of the probe", () => {
  const layers = unpack(expected.pairs);
  const head = { x: { short: "threshold" }, marks: [] };
  for (const { at, far, tar } of expected.rates) {
    const said = chart.describeCursor({ x: at, y: 0 }, layers, head, 0);
    assert.deepEqual(said, [`threshold ${chart.formatNumber(at)}`, `FAR ${chart.formatNumber(far)}`, `TAR ${chart.formatNumber(tar)}`]);
  }
});

test("the arrow keys take a threshold to the next one, and stop at the last", () => {
  const layers = unpack(expected.pairs);
  const head = { hover: false, x: { span: [-1, 1] }, y: { span: [0, 1] } };
  assert.equal(chart.moveCursor({ x: 0.25, y: 0 }, "ArrowRight", false, layers, head).x, 0.25 + 1 / 256);
  assert.equal(chart.moveCursor({ x: 0.25, y: 0 }, "ArrowLeft", true, layers, head).x, 0.25 - 10 / 256);
  assert.equal(chart.moveCursor({ x: 1, y: 0 }, "ArrowRight", true, layers, head).x, 1);
});

test("the arrow keys visit every sample once, along either axis", () => {
  const { x, y, along } = expected.samples;
  const layers = [{ kind: "points", x, y }];
  const head = { hover: true, x: { span: [0, 1] }, y: { span: [0, 1] } };
  for (const [key, order] of Object.entries(along)) {
    let cursor = { sample: order[0] };
    const seen = [order[0]];
    for (let k = 1; k < order.length; k++) seen.push((cursor = chart.moveCursor(cursor, key, false, layers, head)).sample);
    assert.deepEqual(seen, order);
    assert.equal(chart.moveCursor(cursor, key, false, layers, head).sample, order.at(-1));
  }
});

test("the nearest point and the nearest reading", () => {
  const { x, y, asked } = expected.samples;
  for (const { place, reach, nearest } of asked) assert.equal(chart.nearestPoint(x, y, ...place, reach), nearest);
  assert.equal(chart.nearestIndex([NaN, 4, NaN, 7], 6), 3);
  assert.equal(chart.nearestIndex([NaN], 6), -1);
});

test("a histogram and a heat map are read where the cursor is", () => {
  assert.equal(chart.binAt([0, 1, 2], 1), 1);
  assert.equal(chart.binAt([0, 1, 2], 2), 1);
  assert.equal(chart.binAt([0, 1, 2], 2.1), -1);
  const layers = unpack(expected.plane.frame).filter((layer) => layer.kind === "map");
  for (const { x, y, value } of expected.plane.values) {
    assert.deepEqual(chart.readAt(layers, {}, { x, y }), [`gradient ${chart.formatNumber(value)} nats per unit of cosine`]);
  }
});

test("a box holds the samples at its corners, whatever way it was drawn", () => {
  const spans = { x: [0, 2], y: [0, 1] };
  const box = chart.between({ x: 1.5, y: 0.2 }, { x: 0.5, y: 0.7 }, spans);
  assert.ok(box.x[0] < 0.5 && box.x[1] > 1.5 && box.y[0] < 0.2 && box.y[1] > 0.7);
  assert.ok(box.x[1] - box.x[0] < 1.0001 && box.y[1] - box.y[0] < 0.5001);
});

test("a change is told to who points at it", () => {
  const head = { x: { short: "step" }, marks: [{ at: 120, text: "before step 120: m 0.3 → 0.5" }] };
  const layers = [{ kind: "line", name: "loss", x: [119, 120], y: [3, 2.5] }];
  assert.deepEqual(chart.describeCursor({ x: 120.4, y: 0 }, layers, head, 1), ["step 120.4", "loss: 2.5", head.marks[0].text]);
  assert.deepEqual(chart.describeCursor({ x: 118, y: 0 }, layers, head, 1), ["step 118", "loss: 3"]);
});

test("a sample is told by its group and both axes, a place without one by the axes alone", () => {
  const head = { x: { short: "own" }, y: { short: "nearest other" }, hover: true, marks: [] };
  const groups = [{ name: "well-classified" }, { name: "misclassified" }];
  const layers = [
    { kind: "line", name: "equal distance", x: [0, 1], y: [0, 1] },
    { kind: "points", groups, x: [0.25], y: [0.5], group: [1], lit: [1] },
  ];
  const place = { x: 0.25, y: 0.5 };
  assert.deepEqual(chart.describeCursor({ ...place, sample: 0 }, layers, head, 0), ["misclassified", "own 0.25", "nearest other 0.5"]);
  assert.deepEqual(chart.describeCursor(place, layers, head, 0), ["own 0.25", "nearest other 0.5"]);
  const angle = { x: { short: "θ_y", degrees: true }, y: { short: "y" }, marks: [] };
  assert.deepEqual(chart.describeCursor({ x: Math.PI / 6, y: 0 }, [], angle, 0), ["θ_y 30.0° (0.524 rad)"]);
});

test("colors diverge from the middle to both ends", () => {
  assert.deepEqual(chart.diverging(-2, false), [0, 114, 178]);
  assert.deepEqual(chart.diverging(0, true), [32, 32, 32]);
  assert.deepEqual(chart.diverging(1, true), [230, 159, 0]);
  assert.deepEqual(chart.diverging(NaN, false), [247, 247, 247]);
});
