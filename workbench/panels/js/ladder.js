// A ladder of curves: interpolation between its rungs, and the value for a pointer position.
// A ladder is {theta, values: [K], T: [K arrays (P,)], N: [K arrays (P,)], marks: [K x [jumps of T, jumps of N, actual,
// ideal boundaries]]}. The points of a curve are evenly spaced on the arc [0, theta]; angles are in rad.

// Index of the rung below a value, and the position of the value between it and the next one, in [0, 1].
export function rungPosition(values, value) {
  let k = 0;
  while (k < values.length - 2 && values[k + 1] <= value) k++;
  if (values.length < 2) return [0, 0];
  return [k, Math.min(1, Math.max(0, (value - values[k]) / (values[k + 1] - values[k])))];
}

// The curves at a value: {T, N, marks, value: of the curves}. Linear interpolation between two rungs with the same
// numbers of jumps and boundaries at similar positions; otherwise the nearer rung.
export function climb(ladder, value) {
  const [a, w] = rungPosition(ladder.values, value);
  const b = Math.min(a + 1, ladder.values.length - 1);
  const nearer = w < 0.5 ? a : b;
  const asItIs = { T: ladder.T[nearer], N: ladder.N[nearer], marks: ladder.marks[nearer], value: ladder.values[nearer] };
  if (!ladder.marks[a].every((at, kind) => alike(at, ladder.marks[b][kind], ladder.theta))) return asItIs;
  const marks = ladder.marks[a].map((at, kind) => at.map((phi, i) => mix(phi, ladder.marks[b][kind][i], w)));
  const [T, N] = ["T", "N"].map((name, kind) => {
    const jumps = [ladder.marks[a][kind], ladder.marks[b][kind], marks[kind]];
    return blend(ladder[name][a], ladder[name][b], jumps, w, ladder.theta);
  });
  return T && N ? { T, N, marks, value } : asItIs;
}

function mix(a, b, w) {
  return a + w * (b - a);
}

function alike(one, other, theta) {
  return one.length === other.length && one.every((phi, i) => Math.abs(phi - other[i]) < theta / 8);
}

// Interpolation between two curves, separately for each piece between two jumps, so that jumps stay sharp. null: a piece
// has too few points.
function blend(one, other, [jumpsOne, jumpsOther, jumps], w, theta) {
  const edges = [jumpsOne, jumpsOther, jumps].map((at) => [0, ...at, theta]);
  const step = theta / (one.length - 1);
  const made = new Float32Array(one.length);
  let piece = 0;
  for (let i = 0; i < made.length; i++) {
    const phi = i * step;
    while (piece < jumps.length && phi >= edges[2][piece + 1]) piece++;
    const [low, high] = [edges[2][piece], edges[2][piece + 1]];
    const share = high > low ? (phi - low) / (high - low) : 0;
    const [a, b] = [one, other].map((curve, k) => along(curve, edges[k][piece], edges[k][piece + 1], share, step));
    if (a === null || b === null) return null;
    made[i] = mix(a, b, w);
  }
  return made;
}

// The first and last point of a curve in the piece [low, high]. A point within 1e-4 steps of a jump may belong to the
// other side and is excluded.
function inside(curve, low, high, step) {
  const end = curve.length - 1;
  return [low > 0 ? Math.ceil(low / step + 1e-4) : 0, high < end * step * (1 - 1e-9) ? Math.floor(high / step - 1e-4) : end];
}

// The value of a curve at a fraction of the piece [low, high], from the points of that piece; null with one point.
function along(curve, low, high, share, step) {
  const [first, last] = inside(curve, low, high, step);
  if (last - first < 1) return null;
  const x = mix(low, high, share) / step;
  const i = Math.min(last - 1, Math.max(first, Math.floor(x)));
  return mix(curve[i], curve[i + 1], x - i);
}

// The value of a curve at phi, by linear interpolation.
export function read(curve, phi, theta) {
  return along(curve, 0, theta, phi / theta, theta / (curve.length - 1));
}

// The pieces of a curve between its jumps, as lists of [phi, value], extrapolated to the jumps.
export function pieces(curve, jumps, theta) {
  const step = theta / (curve.length - 1);
  const edges = [0, ...jumps, theta];
  const found = [];
  for (let p = 0; p + 1 < edges.length; p++) {
    const [low, high] = [edges[p], edges[p + 1]];
    if (along(curve, low, high, 0, step) === null) continue;
    const points = [];
    const [first, last] = inside(curve, low, high, step);
    for (let i = first; i <= last; i++) points.push([i * step, curve[i]]);
    found.push([[low, along(curve, low, high, 0, step)], ...points, [high, along(curve, low, high, 1, step)]]);
  }
  return found;
}

// The intervals between the actual boundaries: [from, to, whether the target wins].
export function regions(curves, theta) {
  const edges = [0, ...curves.marks[2], theta];
  return edges.slice(0, -1).map((low, i) => {
    const middle = (low + edges[i + 1]) / 2;
    return [low, edges[i + 1], read(curves.T, middle, theta) > read(curves.N, middle, theta)];
  });
}

// Among the values where a quantity, given at every rung (null: undefined), equals a target: the nearest to the present
// one. Without any: the rung with the nearest quantity.
export function meeting(values, quantity, target, present) {
  let best = null;
  let closest = null;
  values.forEach((value, k) => {
    if (quantity[k] === null) return;
    const gap = Math.abs(quantity[k] - target);
    if (closest === null || gap < Math.abs(quantity[closest] - target)) closest = k;
    if (k + 1 === values.length || quantity[k + 1] === null) return;
    const [a, b] = [quantity[k] - target, quantity[k + 1] - target];
    if (a === b || a * b > 0) return;
    const met = mix(value, values[k + 1], a / (a - b));
    if (best === null || Math.abs(met - present) < Math.abs(best - present)) best = met;
  });
  return best ?? (closest === null ? present : values[closest]);
}

// The value whose T passes nearest to (phi, logit), and the value whose only boundary is nearest to phi.
export function valueOfT(ladder, phi, logit, present) {
  const at = ladder.T.map((curve) => read(curve, phi, ladder.theta));
  return meeting(ladder.values, at, logit, present);
}

export function valueOfBoundary(ladder, phi, present) {
  const at = ladder.marks.map((found) => (found[2].length === 1 ? found[2][0] : null));
  return meeting(ladder.values, at, phi, present);
}

// The slider position (0 to 1000) of a value on a logarithmic range, and the inverse.
export function toSlider(value, low, high) {
  return (1000 * Math.log(Math.min(high, Math.max(low, value)) / low)) / Math.log(high / low);
}

export function fromSlider(position, low, high) {
  return Number((low * (high / low) ** (position / 1000)).toPrecision(4));
}
