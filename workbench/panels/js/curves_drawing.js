// Drawing of T and N: axes, regions, boundaries with labels, jumps. Every function takes the
// context and a plot {x(phi), y(logit), theta, low, high, box, colors, color}.

const EDGE = { left: 54, right: 24, top: 30, bottom: 58 };
const HEADROOM = 0.5; // logit units above the curves, for the labels of the boundaries
const SAME = (0.05 * Math.PI) / 180; // rad; an actual and an ideal boundary closer than this share a label
const GHOST = "#8A8A8A";
const FONT = "12px system-ui, sans-serif";

export const degrees = (phi) => `${((phi * 180) / Math.PI).toFixed(1)}°`;
export const angle = (phi) => `${degrees(phi)} (${phi.toFixed(3)} rad)`;

// The range of the logit axis, rounded to multiples of 1/2, so that it seldom changes during a drag.
export function logitSpan(curves) {
  let [low, high] = [0, 1];
  for (const values of curves) for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  return [Math.floor(2 * low) / 2, Math.ceil(2 * high) / 2 + HEADROOM];
}

// The boundaries as lines: {kind, phi, down: distance of its top from the top as a fraction of the height, label}. Each is
// lower than the previous one in the direction of the labels, so that no label crosses a line.
export function masts([, , actual, ideal], theta) {
  const shared = actual.length === ideal.length && actual.every((phi, i) => Math.abs(phi - ideal[i]) < SAME);
  const all = [...actual.map((phi) => ["actual", phi]), ...ideal.map((phi) => ["ideal", phi])];
  const leftward = all.reduce((sum, [, phi]) => sum + phi, 0) > 0.55 * theta * all.length;
  all.sort((a, b) => (leftward ? b[1] - a[1] : a[1] - b[1]));
  return all.map(([kind, phi], i) => {
    const label = shared && kind === "ideal" ? "" : `${shared ? "actual = ideal" : kind} ${angle(phi)}`;
    return { kind, phi, leftward, label, down: 0.05 + 0.07 * (shared ? i >> 1 : i) };
  });
}

function plotOf(width, height, theta, [low, high], colors, color) {
  const box = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: height - EDGE.bottom };
  const x = (phi) => box.left + (phi / theta) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
  return { x, y, theta, low, high, box, colors, color };
}

function stroke(c, points, plot, color, width, dash = []) {
  c.strokeStyle = color;
  c.lineWidth = width;
  c.setLineDash(dash);
  c.beginPath();
  points.forEach(([phi, value], i) => c[i ? "lineTo" : "moveTo"](plot.x(phi), plot.y(value)));
  c.stroke();
  c.setLineDash([]);
}

// Text with an outline in the background color.
function write(c, text, x, y, colors) {
  c.setLineDash([]);
  c.lineWidth = 3;
  c.lineJoin = "round";
  c.strokeStyle = colors.paper;
  c.strokeText(text, x, y);
  c.fillStyle = colors.ink;
  c.fillText(text, x, y);
}

function drawAxes(c, plot) {
  const { box, colors } = plot;
  const wide = (plot.theta * 180) / Math.PI;
  c.fillStyle = colors.faint;
  c.textAlign = "center";
  c.textBaseline = "top";
  for (const tick of ticks(0, wide, (box.right - box.left) / 60)) {
    const at = (tick * Math.PI) / 180;
    stroke(c, [[at, plot.low], [at, plot.high]], plot, colors.grid, 1);
    c.fillText(`${tick}°`, plot.x(at), box.bottom + 4);
    c.fillText(at.toFixed(2), plot.x(at), box.bottom + 18);
  }
  c.fillText("angle φ from the target center (degrees, below them rad)", (box.left + box.right) / 2, box.bottom + 38);
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const tick of ticks(plot.low, plot.high, 6)) {
    stroke(c, [[0, tick], [plot.theta, tick]], plot, colors.grid, 1);
    c.fillText(tick.toFixed(1).replace("-", "−"), box.left - 6, plot.y(tick));
  }
  c.save();
  c.translate(12, (box.top + box.bottom) / 2);
  c.rotate(-Math.PI / 2);
  c.textAlign = "center";
  c.fillText("logit before scale s", 0, 0);
  c.restore();
}

function drawRegions(c, curves, plot) {
  const { box, colors } = plot;
  c.textAlign = "center";
  c.textBaseline = "bottom";
  for (const [from, to, target] of regions(curves, plot.theta)) {
    c.globalAlpha = colors.dark ? 0.2 : 0.1;
    c.fillStyle = target ? plot.color : colors.faint;
    c.fillRect(plot.x(from), box.top, plot.x(to) - plot.x(from), box.bottom - box.top);
    c.globalAlpha = 1;
    c.fillStyle = colors.ink;
    const name = target ? "target wins" : "other class wins";
    if (plot.x(to) - plot.x(from) > c.measureText(name).width + 8) c.fillText(name, plot.x((from + to) / 2), box.bottom - 6);
  }
}

// T solid, N dashed. At a jump: a filled circle at the left limit, an open one at the right limit.
function drawCurves(c, curves, plot, color, width, ghost) {
  for (const [name, kind, dash] of [["N", 1, [7, 5]], ["T", 0, []]]) {
    const parts = pieces(curves[name], curves.marks[kind], plot.theta);
    for (const points of parts) stroke(c, points, plot, color, width, dash);
    if (ghost) continue;
    parts.slice(1).forEach((points, i) => {
      for (const [[phi, value], filled] of [[parts[i].at(-1), true], [points[0], false]]) {
        c.beginPath();
        c.arc(plot.x(phi), plot.y(value), 4, 0, 7);
        c.fillStyle = filled ? color : plot.colors.paper;
        c.fill();
        c.stroke();
      }
    });
  }
}

function drawMasts(c, found, plot, bold) {
  const { box, colors } = plot;
  for (const mast of masts(found, plot.theta)) {
    const top = box.top + (mast.down + 0.02) * (box.bottom - box.top);
    const x = plot.x(mast.phi);
    c.strokeStyle = plot.color;
    c.lineWidth = mast.kind === "actual" ? (bold ? 3 : 2) : 1.5;
    c.setLineDash(mast.kind === "actual" ? [] : [2, 3]);
    c.beginPath();
    c.moveTo(x, box.bottom);
    c.lineTo(x, top);
    c.stroke();
    c.setLineDash([]);
    c.textAlign = mast.leftward ? "right" : "left";
    c.textBaseline = "middle";
    write(c, mast.label, x + (mast.leftward ? -5 : 5), top, colors);
  }
}

// The point of the arc where the other center has the mean cosine of the hard negatives.
function drawHard(c, [phi, cosine], plot) {
  const [x, y] = [plot.x(phi), plot.y(cosine)];
  c.fillStyle = plot.colors.ink;
  c.beginPath();
  for (const [dx, dy] of [[0, -6], [6, 0], [0, 6], [-6, 0]]) c.lineTo(x + dx, y + dy);
  c.fill();
  const left = phi > plot.theta / 2;
  c.textAlign = left ? "right" : "left";
  c.textBaseline = "top";
  write(c, `mean hard cosine ${cosine.toFixed(3)}`, x + (left ? -9 : 9), y + 4, plot.colors);
}

function drawLegend(c, plot, state, before) {
  const at = state ? ` (at ${state})` : "";
  const lines = [["T: target", plot.color, 2.5, []], [`N: other class${at}`, plot.color, 2.5, [7, 5]]];
  lines.push(["plain cosines", plot.colors.faint, 1.2, [2, 3]]);
  if (before) lines.push(["before", GHOST, 1.5, []]);
  let x = plot.box.left;
  c.textAlign = "left";
  c.textBaseline = "middle";
  for (const [name, color, width, dash] of lines) {
    c.strokeStyle = color;
    c.lineWidth = width;
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(x, 12);
    c.lineTo(x + 24, 12);
    c.stroke();
    c.setLineDash([]);
    c.fillStyle = plot.colors.ink;
    c.fillText(name, x + 29, 12);
    x += 29 + c.measureText(name).width + 16;
  }
}
