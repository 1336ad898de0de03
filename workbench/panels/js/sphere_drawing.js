// Drawing of the sphere view: graticule, axes, points, boundaries, centers and the legend.

const HEIGHT = 460;
const TOP = 26; // pixels for the legend
const MANY = 14; // with more classes colors show the selection; of these classes the second half has open shapes
const BINS = 120; // of the histogram around a circle, 3 degrees each
const DEGREES = [1, 2, 5, 10, 15, 30, 45, 60]; // tick distances of an angle axis
const WRONG = PALETTE[1];

// Colors and shapes of the classes, and which points and centers are grayed out.
function classStyles(model, colors) {
  const [ids, titles, chosen] = [model.get("ids"), model.get("titles"), model.get("chosen")];
  const labels = model.get("labels");
  const [rows, lit] = [labels.byteLength ? numbers(labels, Int32Array) : new Int32Array(0), model.get("lit")];
  const roles = ids.length > MANY;
  const free = PALETTE.filter((c) => c !== WRONG && c !== PALETTE[6]);
  const role = (id) => (chosen.includes(id) ? free[chosen.indexOf(id) % free.length] : PALETTE[6]);
  const color = ids.map((id, row) => (roles ? role(id) : PALETTE[row % PALETTE.length]));
  const open = ids.map((_, row) => !roles && row >= PALETTE.length);
  const litBytes = lit.byteLength ? numbers(lit, Uint8Array) : null;
  const gray = ids.map((id) => chosen.length > 0 && !chosen.includes(id));
  return { ids, titles, chosen, rows, roles, color, open, gray, lit: litBytes, grayed: colors.gray };
}

// Draw everything; stores the screen positions in view.at and view.atCenters.
function drawView(context, width, height, view, look, colors) {
  const { head } = view;
  const flat = head.kind === "flat";
  const room = { left: !flat || !head.right ? 8 : head.angles ? 104 : 70, bottom: flat && head.right ? 44 : 8 };
  const [w, h] = [width - room.left - 8, height - TOP - room.bottom];
  const [x0, y0] = [room.left + w / 2, TOP + h / 2];
  const scale = (Math.min(w, h) / 2 / head.reach) * { circle: 0.66, sphere: 0.94, flat: head.globe ? 0.94 : 1 }[head.kind];
  const fits = view.centers.length === view.k * look.ids.length && view.points.length === view.k * look.rows.length;
  Object.assign(view, { x0, y0, scale });
  view.at = toScreen(fits ? view.points : new Float32Array(0), view.k, view.R, x0, y0, scale);
  view.atCenters = toScreen(fits ? view.centers : new Float32Array(0), view.k, view.R, x0, y0, scale);
  if (flat) axes(context, view, { left: room.left, top: TOP, w, h }, colors);
  if (head.kind === "sphere") graticule(context, view, colors);
  if (head.kind === "circle" || head.globe) ring(context, view, colors);
  if (head.kind === "circle" && fits) drawHistogram(context, view, look, colors);
  if (fits) paint(context, width, height, view, look);
  if (head.all && fits) drawBoundaries(context, view, colors);
  if (fits && !head.empty) drawCenters(context, width, view, look, colors);
  key(context, view, look, colors);
  if (head.empty) text(context, head.empty, x0, y0, colors, "center");
  if (view.lasso) trace(context, view.lasso, colors.ink, [4, 3], 1.5, true);
}

function trace(context, points, color, dash = [], wide = 1, closed = false) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  if (closed) context.closePath();
  stroke(context, color, dash, wide);
}

function stroke(context, color, dash = [], wide = 1) {
  context.setLineDash(dash);
  context.lineWidth = wide;
  context.strokeStyle = color;
  context.stroke();
  context.setLineDash([]);
}

function text(context, words, x, y, colors, align = "left", bold = "") {
  context.font = `${bold}12px system-ui, sans-serif`;
  [context.textAlign, context.textBaseline, context.lineJoin] = [align, "middle", "round"];
  [context.lineWidth, context.strokeStyle, context.fillStyle] = [3, colors.paper, colors.ink];
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
}

// A line through points (k = 3): its pieces on the front or on the back of the sphere.
function traceLine(path, points, view, front) {
  const at = toScreen(points, 3, view.R, view.x0, view.y0, view.scale);
  let drawn = false; // dashes continue from piece to piece
  for (let i = 1; i < at.x.length; i++) {
    const seen = at.z[i] + at.z[i - 1] >= 0 === front;
    if (seen && !drawn) path.moveTo(at.x[i - 1], at.y[i - 1]);
    if (seen) path.lineTo(at.x[i], at.y[i]);
    drawn = seen;
  }
}

function lines(context, all, view, front, color, dash, wide) {
  context.beginPath();
  for (const points of all) traceLine(context, points, view, front);
  stroke(context, color, dash, wide);
}

// Circles of latitude and longitude, every 30 degrees.
const GLOBE = [];
for (let d = 0; d < 180; d += 30) {
  const a = (d * Math.PI) / 180;
  GLOBE.push(along({ u: [Math.cos(a), Math.sin(a), 0], v: [0, 0, 1], from: -Math.PI, to: Math.PI }, 0.12));
}
for (let d = -60; d <= 60; d += 30) {
  const [c, s] = [Math.cos((d * Math.PI) / 180), Math.sin((d * Math.PI) / 180)];
  const circle = along({ u: [1, 0, 0], v: [0, 1, 0], from: -Math.PI, to: Math.PI }, 0.12);
  GLOBE.push(circle.map((v, i) => (i % 3 === 2 ? s : c * v)));
}

function graticule(context, view, colors) {
  lines(context, GLOBE, view, false, colors.grid, [1, 3], 1);
  lines(context, GLOBE, view, true, colors.grid, [], 1);
  ring(context, view, colors);
}

function ring(context, view, colors) {
  context.beginPath();
  context.arc(view.x0, view.y0, view.scale, 0, 2 * Math.PI);
  stroke(context, colors.faint);
}

// Boundaries between centers: great-circle arcs, bisecting rays, or the vertical axis of the plane of two centers.
function drawBoundaries(context, view, colors) {
  const { head, x0, y0, scale, centers } = view;
  if (head.kind === "sphere") {
    if (view.bordered !== centers) [view.bordered, view.arcs] = [centers, boundaries(centers).map((arc) => along(arc))];
    lines(context, view.arcs, view, false, colors.gray, [2, 4], 1);
    lines(context, view.arcs, view, true, colors.ink, [7, 4], 1.6);
  } else if (head.kind === "circle") {
    const own = Array.from({ length: centers.length / 2 }, (_, i) => Math.atan2(centers[2 * i + 1], centers[2 * i]));
    for (const a of bisectors(own)) {
      const [c, s] = [Math.cos(a) * scale * 1.02, Math.sin(a) * scale * 1.02];
      trace(context, [[x0, y0], [x0 + c, y0 - s]], colors.ink, [7, 4], 1.4);
    }
  } else if (head.globe) {
    trace(context, [[x0, y0 - scale], [x0, y0 + scale]], colors.ink, [7, 4], 1.4);
  }
}

// The stacked histogram around the circle, with the number of samples of the longest bar.
function drawHistogram(context, view, look, colors) {
  const { x0, y0, scale } = view;
  const counts = rose(view.points, look.rows, look.ids.length, BINS);
  const sums = Array.from({ length: BINS }, (_, b) => counts.reduce((sum, row) => sum + row[b], 0));
  const most = Math.max(1, ...sums);
  const longest = scale * 0.44;
  for (let b = 0; b < BINS; b++) {
    let inner = scale * 1.045;
    const [from, to] = [(-2 * Math.PI * b) / BINS, (-2 * Math.PI * (b + 1)) / BINS];
    counts.forEach((row, j) => {
      if (row[b] === 0) return;
      const outer = inner + (longest * row[b]) / most;
      context.beginPath();
      context.arc(x0, y0, outer, from, to, true);
      context.arc(x0, y0, inner, to, from);
      context.fillStyle = look.gray[j] ? look.grayed : look.color[j];
      context.fill();
      inner = outer;
    });
  }
  text(context, `longest bar: ${most} samples in ${360 / BINS}° (${((2 * Math.PI) / BINS).toFixed(3)} rad)`, 8, HEIGHT - 12, colors);
}

// Axes of a plane with ticks: cosines and components without unit, angles in degrees and radians.
function axes(context, view, { left, top, w, h }, colors) {
  const { head, x0, y0, scale } = view;
  if (!head.right) return;
  const unit = head.angles ? Math.PI / 180 : 1;
  const signed = (words) => words.replaceAll("-", "−");
  const name = (t) => signed(head.angles ? `${t}° (${(t * unit).toFixed(2)})` : `${t}`);
  const [wide, high] = [w / 2 / scale / unit, h / 2 / scale / unit];
  const step = head.angles ? DEGREES.find((d) => d >= high / 3) : ticks(0, 2 * high, 6)[1];
  const every = step * Math.ceil((head.angles ? 100 : 44) / (step * unit * scale));
  context.save();
  context.beginPath();
  context.rect(left, top, w, h);
  stroke(context, colors.grid);
  for (let n = Math.ceil(-high / step); n * step <= high; n++) {
    const [t, y] = [Number((n * step).toPrecision(6)), y0 - n * step * unit * scale];
    trace(context, [[left, y], [left + w, y]], colors.grid);
    text(context, name(t), left - 4, y, colors, "right");
  }
  for (let n = Math.ceil(-wide / every); n * every <= wide; n++) {
    const [t, x] = [Number((n * every).toPrecision(6)), x0 + n * every * unit * scale];
    trace(context, [[x, top], [x, top + h]], colors.grid);
    if (x > left + 30 && x < left + w - 30) text(context, name(t), x, top + h + 11, colors, "center");
  }
  const tail = head.angles ? ": ° (rad)" : "";
  text(context, head.right + tail, left + w / 2, top + h + 30, colors, "center");
  context.translate(10, top + h / 2);
  context.rotate(-Math.PI / 2);
  text(context, head.up + tail, 0, 0, colors, "center");
  context.restore();
}

// All points, drawn into a pixel buffer for speed. Back side first, misclassified samples last.
function paint(context, width, height, view, look) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  view.layer ??= document.createElement("canvas");
  const ink = view.layer.getContext("2d");
  if (view.image?.width !== w || view.image.height !== h) {
    [view.layer.width, view.layer.height] = [w, h];
    view.image = ink.createImageData(w, h);
  }
  const pixels = new Uint32Array(view.image.data.buffer);
  pixels.fill(0);
  const { x, y, z } = view.at;
  const size = (x.length > 5000 ? 1.5 : 2.6) * ratio;
  const sizes = [["disc", 0.7], ["cross", 1.2], ["disc", 1], ["cross", 1.6], ["ring", 0.7], ["plus", 1.2], ["ring", 1], ["plus", 1.6]];
  const marks = sizes.map(([shape, times]) => mark(shape, size * times));
  const [color, gray, wrong] = [look.color.map(packColor), packColor(look.grayed), packColor(WRONG)];
  const own = look.ids.map((id) => look.chosen.includes(id));
  const passes = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    passes[i] = (z[i] >= 0 ? 4 : 0) + (!look.lit || bit(look.lit, i) ? 2 : 0) + bit(view.wrong, i);
  }
  for (let pass = 0; pass < 8; pass++) {
    const [front, lit, off] = [pass & 4, pass & 2, pass & 1];
    const opacity = (front ? 256 : 90) * (lit ? 1 : 0.7);
    for (let i = 0; i < x.length; i++) {
      if (passes[i] !== pass) continue;
      const row = look.rows[i];
      const shade = !lit ? gray : off && look.roles && !own[row] ? wrong : color[row];
      const kind = (look.open[row] ? 4 : 0) + (front ? 2 : 0) + off;
      stamp(pixels, w, h, marks[kind], x[i] * ratio, y[i] * ratio, shade, opacity);
    }
  }
  ink.putImageData(view.image, 0, 0);
  context.drawImage(view.layer, 0, 0, w, h, 0, 0, width, height);
}

// The class centers: labeled diamonds, with spokes in a circle; open on the back side.
function drawCenters(context, width, view, look, colors) {
  const { x0, y0, head } = view;
  const { x, y, z } = view.atCenters;
  look.ids.forEach((id, j) => {
    const shade = look.gray[j] ? look.grayed : look.color[j];
    if (head.kind === "circle") trace(context, [[x0, y0], [x[j], y[j]]], shade, [], 2);
    const r = z[j] < 0 ? 4 : view.focus === j ? 9 : 6.5;
    context.beginPath();
    for (const [a, b] of [[0, -r], [r, 0], [0, r], [-r, 0]]) context.lineTo(x[j] + a, y[j] + b);
    context.closePath();
    context.fillStyle = z[j] < 0 ? colors.paper : shade;
    context.fill();
    stroke(context, z[j] < 0 ? shade : colors.ink, [], view.focus === j ? 3 : 1.2);
  });
  label(context, width, view, look, colors);
}

// Names of the centers on the front side, without overlap; selected classes first.
function label(context, width, view, look, colors) {
  const { x0, y0, head, focus } = view;
  const { x, y, z } = view.atCenters;
  const first = (j) => (j === focus ? 2 : look.chosen.includes(look.ids[j]) ? 1 : 0);
  const order = look.ids.map((_, j) => j).filter((j) => z[j] >= 0).sort((a, b) => first(b) - first(a));
  const taken = [];
  context.font = "bold 12px system-ui, sans-serif";
  for (const j of order) {
    const [dx, dy] = [x[j] - x0, y[j] - y0];
    const far = Math.hypot(dx, dy) || 1;
    const off = head.kind === "circle" ? -16 : 15; // the bars are outside the circle
    const wide = context.measureText(look.titles[j]).width;
    const side = Math.abs(dx) < 20 ? -0.5 : dx > 0 === off > 0 ? 0 : -1;
    const left = Math.min(width - 4 - wide, Math.max(4, x[j] + (off * dx) / far + side * wide));
    const middle = y[j] + (off * dy) / far + (far < 8 ? 16 : 0);
    if (taken.some(([l, m, w]) => left < l + w + 4 && l < left + wide + 4 && Math.abs(m - middle) < 14)) continue;
    taken.push([left, middle, wide]);
    text(context, look.titles[j], left, middle, colors, "left", "bold ");
  }
}

// The legend above the figure.
function key(context, view, look, colors) {
  const [disc, cross] = look.open.some(Boolean) ? ["●○", "✕+"] : ["●", "✕"];
  const said = [[disc, colors.ink, "well-classified"], [cross, colors.ink, "misclassified"]];
  if (look.roles) {
    const few = look.chosen.slice(0, 3).map((id) => look.ids.indexOf(id)).filter((j) => j >= 0);
    said.splice(0, 2, ...few.map((j) => ["●", look.color[j], look.titles[j]]));
    said.push(["●", PALETTE[6], "other classes"], ["✕", WRONG, "misclassified"]);
  }
  said.push(["◆", colors.ink, "class center"]);
  if (view.head.all && (view.head.kind !== "flat" || view.head.globe)) said.push(["╌", colors.ink, "boundary"]);
  let x = 8;
  for (const [shape, shade, words] of said) {
    text(context, shape, x, 12, { ...colors, ink: shade });
    const wide = context.measureText(shape).width + 5;
    text(context, words, x + wide, 12, colors);
    x += context.measureText(words).width + wide + 16;
  }
}
