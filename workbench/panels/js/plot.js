// Parts of a plot: scales, ticks, colors, values at a position, drawing of layers.
// `to` maps values to CSS pixels: {x(value), y(value), left, right, top, bottom, spans: {x, y}, log}.

const LEFT = 64, RIGHT = 14, ROW = 18; // CSS pixels
const FONT = "12px system-ui, sans-serif", SMALL = "11px system-ui, sans-serif";

// Position of a value on an axis as a fraction 0..1, and the inverse. low, high: the ends, positive for a log scale.
export function share(value, [low, high], log) {
  if (log) return (Math.log(Math.max(value, 1e-300)) - Math.log(low)) / (Math.log(high) - Math.log(low));
  return (value - low) / (high - low);
}

export function valueAt(part, [low, high], log) {
  return log ? low * (high / low) ** part : low + part * (high - low);
}

// A number as text: 4 digits, a minus sign, a dash for NaN.
export function formatNumber(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const short = Number(value.toPrecision(4));
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? short.toExponential() : String(short);
  return text.replace("-", "−");
}

// The ticks of an axis: [{at, text}]; for angles in rad, degrees and radians on two lines.
export function axisTicks(span, { log, degrees, most }) {
  if (degrees) {
    const ends = span.map((v) => (v * 180) / Math.PI);
    const step = [5, 10, 15, 30, 45, 90].find((d) => (ends[1] - ends[0]) / d <= most) ?? 90;
    const found = [];
    for (let d = Math.ceil(ends[0] / step - 1e-9) * step; d <= ends[1] + 1e-6; d += step) {
      found.push({ at: (d * Math.PI) / 180, text: `${d}°\n${((d * Math.PI) / 180).toFixed(2)}` });
    }
    return found;
  }
  if (!log) return ticks(...span, most).map((at) => ({ at, text: formatNumber(at) }));
  const powers = [];
  for (let p = Math.floor(Math.log10(span[0])); 10 ** p <= span[1]; p++) powers.push(p);
  const every = Math.max(1, Math.ceil(powers.length / most));
  const steps = powers.length <= 2 ? [1, 2, 5] : [1];
  return powers
    .filter((p) => p % every === 0)
    .flatMap((p) => steps.map((k) => Number((k * 10 ** p).toPrecision(12))))
    .filter((at) => at >= span[0] * (1 - 1e-9) && at <= span[1] * (1 + 1e-9))
    .map((at) => ({ at, text: formatNumber(at) }));
}

// The layers of a frame with their arrays by name.
export function unpackLayers({ head, arrays }) {
  const rest = [...arrays];
  const next = () => floats(rest.shift());
  const bytes = () => numbers(rest.shift(), Uint8Array);
  return head.layers.map((layer) => {
    if (layer.kind === "bars") return { ...layer, edges: next(), heights: next() };
    if (layer.kind === "points") return { ...layer, x: next(), y: next(), group: bytes(), lit: bytes() };
    if (layer.kind === "map") return { ...layer, values: next() };
    if (layer.kind === "readings") return { ...layer, at: next(), columns: layer.names.map(next) };
    return { ...layer, x: next(), y: next() };
  });
}

// Index of the number nearest to `at`, ignoring NaN; -1 for none.
export function nearestIndex(values, at) {
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (!(Math.abs(values[i] - at) >= Math.abs(values[best] - at)) && !Number.isNaN(values[i])) best = i;
  }
  return best;
}

// Index of the point (in pixels) nearest to (x, y), at most `reach` away; -1 for none.
export function nearestPoint(xs, ys, x, y, reach) {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i < xs.length; i++) {
    const far = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
    if (far <= least) [best, least] = [i, far];
  }
  return best;
}

// Index of the histogram bin that contains a value; -1 for none.
export function binAt(edges, value) {
  for (let i = 0; i + 1 < edges.length; i++) if (value >= edges[i] && value < edges[i + 1]) return i;
  return value === edges[edges.length - 1] ? edges.length - 2 : -1;
}

// Index of the next value above (way = 1) or below (way = -1) that of `from`; ties in order of the index.
export function nextAlong(values, from, way) {
  let best = -1;
  const before = (i, j) => values[i] < values[j] || (values[i] === values[j] && i < j);
  for (let i = 0; i < values.length; i++) {
    if (i === from || (way > 0 ? before(i, from) : before(from, i))) continue;
    if (best < 0 || (way > 0 ? before(i, best) : before(best, i))) best = i;
  }
  return best < 0 ? from : best;
}

// A color [r, g, b] of a diverging scale, for a value from -1 to 1.
export function diverging(value, dark) {
  const ends = dark ? [[86, 180, 233], [32, 32, 32], [230, 159, 0]] : [[0, 114, 178], [247, 247, 247], [213, 94, 0]];
  const t = Math.max(-1, Math.min(1, value || 0));
  return ends[1].map((middle, k) => Math.round(middle + Math.abs(t) * (ends[t < 0 ? 0 : 2][k] - middle)));
}

function color(which, colors) {
  return which === "ink" ? colors.ink : which === "gray" ? colors.gray : PALETTE[which];
}

function tracePath(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (shape === "cross") {
    context.moveTo(x - r, y - r), context.lineTo(x + r, y + r);
    context.moveTo(x - r, y + r), context.lineTo(x + r, y - r);
  }
}

// A point: a cross is stroked, other shapes are filled; `halo`: color of an outline.
function dot(context, shape, x, y, fill, halo) {
  tracePath(context, shape, x, y, (shape === "cross" ? 3.2 : 2.6) * (halo ? 0.8 : 1));
  for (const [style, width] of [[halo, 3], [fill, 1.3]]) {
    if (!style) continue;
    [context.strokeStyle, context.lineWidth] = [style, width];
    context.stroke();
  }
  if (shape !== "cross") (context.fillStyle = fill), context.fill();
}

function stripes(context, left, top, width, height) {
  context.save();
  context.beginPath();
  for (let x = left - height; x < left + width; x += 6) context.moveTo(x, top + height), context.lineTo(x + height, top);
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

function drawBars(context, layer, to, colors) {
  const base = Math.min(to.bottom, to.y(to.log ? to.spans.y[0] : 0));
  context.beginPath();
  context.moveTo(to.x(layer.edges[0]), base);
  layer.heights.forEach((height, i) => {
    const up = Math.min(base, to.y(height));
    context.lineTo(to.x(layer.edges[i]), up), context.lineTo(to.x(layer.edges[i + 1]), up);
  });
  context.lineTo(to.x(layer.edges[layer.edges.length - 1]), base);
  context.fillStyle = context.strokeStyle = color(layer.color, colors);
  context.lineWidth = 1.5;
  context.stroke();
  context.save();
  context.clip();
  context.globalAlpha = 0.3;
  context.fillRect(to.left, to.top, to.right - to.left, to.bottom - to.top);
  context.globalAlpha = 0.8;
  if (layer.hatched) stripes(context, to.left, to.top, to.right - to.left, to.bottom - to.top);
  context.restore();
}

function drawLine(context, layer, to, colors) {
  context.beginPath();
  let down = false;
  layer.x.forEach((x, i) => {
    const here = Number.isFinite(x) && Number.isFinite(layer.y[i]);
    if (here && down) context.lineTo(to.x(x), to.y(layer.y[i]));
    else if (here) context.moveTo(to.x(x), to.y(layer.y[i])), context.lineTo(to.x(x) + 0.5, to.y(layer.y[i]));
    down = here;
  });
  context.strokeStyle = color(layer.color, colors);
  context.lineWidth = layer.color === "gray" ? 1 : 1.8;
  context.setLineDash(layer.dashed ? [6, 4] : []);
  context.stroke();
  context.setLineDash([]);
}

function drawPoints(context, layer, to, colors, halo) {
  for (const lit of [0, 1]) {
    layer.x.forEach((x, i) => {
      if (layer.lit[i] !== lit) return;
      const { shape, color: own } = layer.groups[layer.group[i]];
      const fill = lit ? color(own, colors) : colors.gray;
      dot(context, shape, to.x(x), to.y(layer.y[i]), fill, lit && halo ? colors.paper : null);
    });
  }
}

function drawMap(context, layer, to, colors) {
  const [rows, columns] = layer.shape;
  const image = new ImageData(columns, rows);
  layer.values.forEach((value, i) => {
    const row = rows - 1 - Math.floor(i / columns);
    image.data.set([...diverging(value / layer.end, colors.dark), 255], 4 * (row * columns + (i % columns)));
  });
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  small.getContext("2d").putImageData(image, 0, 0);
  const half = [0, 1].map((k) => ([layer.x, layer.y][k][1] - [layer.x, layer.y][k][0]) / (layer.shape[1 - k] - 1) / 2);
  const corner = [to.x(layer.x[0] - half[0]), to.y(layer.y[1] + half[1])];
  const far = [to.x(layer.x[1] + half[0]), to.y(layer.y[0] - half[1])];
  context.imageSmoothingEnabled = false;
  context.drawImage(small, ...corner, far[0] - corner[0], far[1] - corner[1]);
}

const DRAWN = { bars: drawBars, line: drawLine, points: drawPoints, map: drawMap, readings() {} };

// The entries of the legend: [{name, draw(x, y)}], with swatches 22 px wide.
function entries(context, layers, colors) {
  return layers.flatMap((layer) => {
    if (layer.kind === "points") {
      return layer.groups.map((g) => ({ ...g, draw: (x, y) => dot(context, g.shape, x + 11, y, color(g.color, colors)) }));
    }
    if (layer.kind === "map") {
      return [-1, 1].map((way, k) => ({
        name: `${formatNumber(way * layer.end)} ${layer.texts[k]}`,
        draw(x, y) {
          context.fillStyle = `rgb(${diverging(way, colors.dark)})`;
          context.fillRect(x, y - 5, 22, 10);
        },
      }));
    }
    if (!layer.name) return [];
    const to = { x: (v) => v, y: (v) => v, left: 0, top: 0, spans: {} };
    return [{
      name: layer.name,
      draw(x, y) {
        if (layer.kind === "line") return drawLine(context, { ...layer, x: [x, x + 22], y: [y, y] }, to, colors);
        const box = { ...to, left: x, right: x + 22, top: y - 6, bottom: y + 6, y: (v) => (v ? y - 6 : y + 6) };
        drawBars(context, { ...layer, edges: [x, x + 22], heights: [1] }, box, colors);
      },
    }];
  });
}

// Draw the legend in rows above the plot; returns its height.
export function drawLegend(context, layers, width, colors) {
  context.font = FONT;
  [context.textAlign, context.textBaseline] = ["left", "middle"];
  let [x, y] = [LEFT, ROW / 2 + 1];
  for (const { name, draw } of entries(context, layers, colors)) {
    const wide = 28 + context.measureText(name).width + 16;
    if (x > LEFT && x + wide - 16 > width) [x, y] = [LEFT, y + ROW];
    draw(x, y);
    context.fillStyle = colors.ink;
    context.fillText(name, x + 28, y + 0.5);
    x += wide;
  }
  return y + ROW / 2 + 8;
}

// The geometry of a plot of this size; log: whether y is logarithmic.
export function layout(head, width, height, top, log) {
  const spans = { x: head.x.span, y: log ? [head.y.least, head.y.span[1]] : head.y.span };
  const to = { left: LEFT, right: width - RIGHT, top, bottom: height - (head.x.degrees ? 50 : 38), spans, log };
  to.x = (value) => to.left + share(value, spans.x) * (to.right - to.left);
  to.y = (value) => to.bottom - share(value, spans.y, log) * (to.bottom - to.top);
  to.values = (x, y) => ({
    x: valueAt((x - to.left) / (to.right - to.left), spans.x),
    y: valueAt((to.bottom - y) / (to.bottom - to.top), spans.y, log),
  });
  return to;
}

function drawAxes(context, head, to, colors) {
  const across = axisTicks(to.spans.x, { degrees: head.x.degrees, most: (to.right - to.left) / 64 });
  const up = axisTicks(to.spans.y, { degrees: head.y.degrees, log: to.log, most: (to.bottom - to.top) / 28 });
  context.font = SMALL;
  context.lineWidth = 1;
  context.strokeStyle = colors.grid;
  context.fillStyle = colors.faint;
  context.beginPath();
  [context.textAlign, context.textBaseline] = ["center", "top"];
  for (const { at, text } of across) {
    context.moveTo(to.x(at), to.top), context.lineTo(to.x(at), to.bottom + 3);
    text.split("\n").forEach((part, k) => context.fillText(part, to.x(at), to.bottom + 5 + 12 * k));
  }
  [context.textAlign, context.textBaseline] = ["right", "middle"];
  for (const { at, text } of up) {
    context.moveTo(to.left - 3, to.y(at)), context.lineTo(to.right, to.y(at));
    const parts = text.split("\n");
    const middle = Math.min(to.y(at), to.bottom + 4 - 6 * parts.length); // not over the labels of x
    parts.forEach((part, k) => context.fillText(part, to.left - 5, middle + 12 * (k - (parts.length - 1) / 2)));
  }
  context.stroke();
  context.fillStyle = colors.ink;
  context.font = FONT;
  [context.textAlign, context.textBaseline] = ["center", "bottom"];
  context.fillText(head.x.label, (to.left + to.right) / 2, to.bottom + (head.x.degrees ? 47 : 35));
  context.save();
  context.translate(13, (to.top + to.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.fillText(head.y.label, 0, 0);
  context.restore();
}

// Lines at a value, labeled at their ends; marks of x without room for a label are short.
function drawMarks(context, marks, to, colors) {
  context.font = SMALL;
  context.lineWidth = 1;
  context.textBaseline = "top";
  let free = -Infinity;
  for (const { at, label, across, past } of marks) {
    const [x, y] = across ? [to.right, to.y(at)] : [to.x(at), to.top];
    if (x < to.left - 1 || x > to.right + 1 || y < to.top - 1 || y > to.bottom + 1) continue;
    context.strokeStyle = past ? colors.gray : colors.faint;
    context.fillStyle = past ? colors.faint : colors.ink;
    context.setLineDash(label || across ? [2, 3] : []);
    const wide = context.measureText(label).width;
    const left = across || x + wide + 6 > to.right ? x - wide - 4 : x + 4;
    const short = !across && (left < free || !label);
    context.beginPath();
    context.moveTo(x, y), context.lineTo(across ? to.left : x, across ? y : short ? y + 8 : to.bottom);
    context.stroke();
    context.setLineDash([]);
    if (short) continue;
    context.textAlign = "left";
    context.fillText(label, left, y + 2);
    if (!across) free = Math.max(left + wide, x) + 6;
  }
}

// The whole plot without the cursor.
export function drawPlot(context, head, layers, to, colors) {
  drawAxes(context, head, to, colors);
  context.save();
  context.beginPath();
  context.rect(to.left - 4, to.top - 4, to.right - to.left + 8, to.bottom - to.top + 8);
  context.clip();
  const halo = layers.some((layer) => layer.kind === "map");
  for (const layer of layers) DRAWN[layer.kind](context, layer, to, colors, halo);
  drawMarks(context, head.marks, to, colors);
  context.restore();
}

// The ranges between two corners, extended by 1e-5, since the browser has float32 values.
export function between(a, b, spans) {
  const range = (name) => {
    const hair = 1e-5 * (spans[name][1] - spans[name][0]);
    return [Math.min(a[name], b[name]) - hair, Math.max(a[name], b[name]) + hair];
  };
  return { x: range("x"), y: range("y") };
}
