// Geometry of the sphere view as pure functions: rotation, interpolation, boundaries, hit tests, drawing of points.
// Vectors are stored consecutively in typed arrays, k numbers each.

// A rotation (9 numbers; rows: right, up, toward the viewer) rotated further by angles in rad, to the right and down.
export function rotate(R, right, down) {
  const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
  const across = [0, 1, 2].map((i) => c * R[i] + s * R[6 + i]);
  const near = [0, 1, 2].map((i) => c * R[6 + i] - s * R[i]);
  const up = [0, 1, 2].map((i) => d * R[3 + i] - t * near[i]);
  return orthonormalize([...across, ...up, ...[0, 1, 2].map((i) => d * near[i] + t * R[3 + i])]);
}

// The same rotation with orthonormal rows: removes accumulated rounding.
export function orthonormalize(R) {
  const a = unit3(R.slice(0, 3));
  const b = R.slice(3, 6);
  const along = dot3(a, b);
  const up = unit3(b.map((v, i) => v - along * a[i]));
  return [...a, ...up, ...cross3(a, up)];
}

export const dot3 = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross3 = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export function unit3(a) {
  const length = Math.hypot(...a) || 1;
  return a.map((v) => v / length);
}

// Screen positions of points (k = 2 or 3 numbers each): x and y in pixels, z toward the viewer (0 for k = 2).
// R: the rotation for k = 3; scale: pixels per unit; y increases downward.
export function toScreen(points, k, R, x0, y0, scale) {
  const n = points.length / k;
  const [x, y, z] = [new Float32Array(n), new Float32Array(n), new Float32Array(n)];
  for (let i = 0, o = 0; i < n; i++, o += k) {
    const [a, b] = [points[o], points[o + 1]];
    if (k === 2) {
      x[i] = x0 + scale * a;
      y[i] = y0 - scale * b;
    } else {
      const c = points[o + 2];
      x[i] = x0 + scale * (R[0] * a + R[1] * b + R[2] * c);
      y[i] = y0 - scale * (R[3] * a + R[4] * b + R[5] * c);
      z[i] = R[6] * a + R[7] * b + R[8] * c;
    }
  }
  return { x, y, z };
}

// Angles in rad between pairs of unit vectors.
export function angles(from, to, k) {
  const found = new Float32Array(to.length / k);
  for (let i = 0, o = 0; i < found.length; i++, o += k) {
    let [d, e] = [0, 0]; // squares of |from - to| and |from + to|: accurate for small angles, unlike arccos
    for (let j = 0; j < k; j++) {
      d += (from[o + j] - to[o + j]) ** 2;
      e += (from[o + j] + to[o + j]) ** 2;
    }
    found[i] = 2 * Math.atan2(Math.sqrt(d), Math.sqrt(e));
  }
  return found;
}

// Interpolated points, s from 0 to 1: on great circles (slerp) with the angles theta, linearly without them.
// Between antipodal points the great circle is undefined; such a point jumps at s = 1/2.
export function between(from, to, k, s, theta) {
  const found = new Float32Array(to.length);
  for (let i = 0, o = 0; o < to.length; i++, o += k) {
    let [a, b] = [1 - s, s];
    if (theta && theta[i] > 1e-3) {
      const sine = Math.sin(theta[i]);
      [a, b] = sine > 1e-4 ? [Math.sin(a * theta[i]) / sine, Math.sin(b * theta[i]) / sine] : s < 0.5 ? [1, 0] : [0, 1];
    }
    for (let j = 0; j < k; j++) found[o + j] = a * from[o + j] + b * to[o + j];
  }
  return found;
}

// The spherical Voronoi diagram of directions (m x 3): for every pair of centers the part of their bisecting great circle
// where no other center is nearer. Arcs {i, j, u, v, from, to}: points u cos(a) + v sin(a), a in [from, to] rad.
// Every other center clips the arc to a half circle; nearby centers come first, since most arcs become empty early.
export function boundaries(centers) {
  const W = Array.from({ length: centers.length / 3 }, (_, i) => unit3(Array.from(centers.slice(3 * i, 3 * i + 3))));
  const found = [];
  for (let i = 0; i < W.length; i++) {
    const cos = W.map((w) => dot3(w, W[i]));
    const near = W.map((_, j) => j).filter((j) => j !== i).sort((a, b) => cos[b] - cos[a]);
    for (let j = i + 1; j < W.length; j++) {
      const across = W[i].map((v, d) => v - W[j][d]);
      if (Math.hypot(...across) < 1e-6) continue; // coincident centers have no boundary
      const normal = unit3(across);
      const least = normal.map(Math.abs).indexOf(Math.min(...normal.map(Math.abs)));
      const u = unit3(cross3(normal, [0, 1, 2].map((d) => Number(d === least))));
      const v = cross3(normal, u);
      const piece = clipArc(W[i], near.filter((l) => l !== j).map((l) => W[l]), u, v);
      if (piece) found.push({ i, j, u, v, from: piece[0], to: piece[1] });
    }
  }
  return found;
}

// The interval of a great circle, in rad, where a center is at least as near as all others; null if empty.
function clipArc(center, others, u, v) {
  let [from, to, whole] = [-Math.PI, Math.PI, true];
  for (const other of others) {
    const more = center.map((c, d) => c - other[d]);
    const [a, b] = [dot3(u, more), dot3(v, more)];
    if (Math.hypot(a, b) < 1e-9) continue;
    const middle = Math.atan2(b, a);
    if (whole) {
      [from, to, whole] = [middle - Math.PI / 2, middle + Math.PI / 2, false];
      continue;
    }
    const off = (from + to) / 2;
    const turn = middle - 2 * Math.PI * Math.round((middle - off) / (2 * Math.PI)); // the equivalent angle nearest to the interval
    [from, to] = [Math.max(from, turn - Math.PI / 2), Math.min(to, turn + Math.PI / 2)];
    if (to - from < 1e-9) return null;
  }
  return [from, to];
}

// Boundaries on the circle: the mean of each two neighboring angles in rad. One center has no boundary.
export function bisectors(directions) {
  const sorted = Array.from(directions).sort((a, b) => a - b);
  if (sorted.length < 2) return [];
  return sorted.map((a, i) => (i + 1 < sorted.length ? (a + sorted[i + 1]) / 2 : (a + sorted[0]) / 2 + Math.PI));
}

// Points of a great-circle arc, at most `step` rad apart.
export function along({ u, v, from, to }, step = 0.06) {
  const pieces = Math.max(1, Math.ceil((to - from) / step));
  const found = new Float32Array(3 * (pieces + 1));
  for (let p = 0; p <= pieces; p++) {
    const a = from + ((to - from) * p) / pieces;
    for (let d = 0; d < 3; d++) found[3 * p + d] = u[d] * Math.cos(a) + v[d] * Math.sin(a);
  }
  return found;
}

// Number of samples per class in each of `bins` equal bins of the circle, from angle 0: counts[row][bin].
export function rose(points, rows, classes, bins) {
  const counts = Array.from({ length: classes }, () => new Int32Array(bins));
  for (let i = 0; i < rows.length; i++) {
    const a = Math.atan2(points[2 * i + 1], points[2 * i]) / (2 * Math.PI);
    counts[rows[i]][Math.floor((a - Math.floor(a)) * bins) % bins]++;
  }
  return counts;
}

// Index of the point on the front side nearest to (x, y), less than `within` pixels away, or -1.
export function hit(at, x, y, within) {
  let [found, best] = [-1, within ** 2];
  for (let i = 0; i < at.x.length; i++) {
    const d = (at.x[i] - x) ** 2 + (at.y[i] - y) ** 2;
    if (d < best && at.z[i] >= 0) [found, best] = [i, d];
  }
  return found;
}

// Indices of the points on the front side inside a polygon [[x, y], ...] (even-odd rule).
export function pointsInside(at, polygon) {
  const found = [];
  for (let i = 0; i < at.x.length; i++) if (at.z[i] >= 0 && inside(polygon, at.x[i], at.y[i])) found.push(i);
  return found;
}

export function inside(polygon, x, y) {
  let odd = false;
  for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
    const [[xa, ya], [xb, yb]] = [polygon[a], polygon[b]];
    if (ya > y !== yb > y && x < ((xb - xa) * (y - ya)) / (yb - ya) + xa) odd = !odd;
  }
  return odd;
}

// Bit i of packed bytes, most significant first (numpy.packbits).
export const bit = (bytes, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1;

// Signed distance from the outline of a marker, from |x|, |y| relative to its center.
const SHAPES = {
  disc: (x, y, radius) => Math.hypot(x, y) - radius,
  ring: (x, y, radius) => Math.abs(Math.hypot(x, y) - radius) - radius / 4,
  cross: (x, y, radius) => Math.max(Math.abs(x - y) * 0.9 - 0.25, Math.max(x, y) - radius + 0.3),
  plus: (x, y, radius) => Math.max(Math.min(x, y) - 0.25, Math.max(x, y) - radius),
};

// A marker as a square of opacities 0 to 255. radius: pixels.
export function mark(shape, radius) {
  const half = Math.ceil(radius * 1.25 + 0.5);
  const size = 2 * half + 1;
  const alpha = new Uint8Array(size * size);
  for (let r = 0; r < size; r++) {
    for (let c = 0; c < size; c++) {
      const reach = SHAPES[shape](Math.abs(c - half), Math.abs(r - half), radius);
      alpha[r * size + c] = 255 * Math.min(1, Math.max(0, 0.5 - reach));
    }
  }
  return { size, alpha };
}

// Draw a marker centered at (x, y) over pixels (32-bit RGBA, rows of `width`); color: 0xBBGGRR.
export function stamp(pixels, width, height, { size, alpha }, x, y, color, opacity) {
  const [left, top] = [Math.round(x) - (size >> 1), Math.round(y) - (size >> 1)];
  if (left < 0 || top < 0 || left + size > width || top + size > height) return;
  for (let r = 0, q = 0; r < size; r++) {
    for (let c = 0, o = (top + r) * width + left; c < size; c++, o++, q++) {
      const a = (alpha[q] * opacity) >> 8;
      if (a === 0) continue;
      const under = pixels[o];
      const below = under >>> 24;
      if (below === 0 || a > 250) {
        pixels[o] = (a << 24) | color;
        continue;
      }
      const all = Math.min(255, a + below - ((a * below) >> 8));
      const t = Math.min(256, ((a << 8) / all) | 0);
      let mixed = 0;
      for (let shift = 0; shift < 24; shift += 8) {
        const old = (under >> shift) & 255;
        mixed |= (old + (((((color >> shift) & 255) - old) * t) >> 8)) << shift;
      }
      pixels[o] = (all << 24) | mixed;
    }
  }
}

// "#RRGGBB" as the number 0xBBGGRR.
export function packColor(text) {
  const rgb = parseInt(text.slice(1), 16);
  return ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
}
