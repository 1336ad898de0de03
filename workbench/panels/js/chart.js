// Chart widget: draws the frames of chart.py. The pointer or the arrow keys move a cursor, whose values are shown. A brush
// (dragging, or Enter at both corners) selects a box or an interval; Escape clears it.

const NEAR = 12; // CSS pixels between the pointer and a point to select it
const AGAIN = 1000; // milliseconds between two requests for the same sample

// A value of an axis as text: an angle in degrees and rad.
export function formatValue(axis, value) {
  const text = axis.degrees ? `${((value * 180) / Math.PI).toFixed(1)}° (${value.toFixed(3)} rad)` : formatNumber(value);
  return `${axis.short} ${text}`;
}

// The values at x (and y, for a heat map), one text per layer. With readings, only these.
export function readAt(layers, head, at) {
  const said = [];
  const chosen = layers.filter((layer) => layer.kind === "readings");
  for (const layer of chosen.length ? chosen : layers) {
    if (layer.kind === "bars" && layer.name) {
      const i = binAt(layer.edges, at.x);
      if (i >= 0) said.push(`${layer.name}: ${formatNumber(layer.heights[i])}`);
    } else if (layer.kind === "line" && layer.name) {
      const i = nearestIndex(layer.x, at.x);
      if (i >= 0) said.push(`${layer.name}: ${formatNumber(layer.y[i])}`);
    } else if (layer.kind === "readings") {
      const i = nearestIndex(layer.at, at.x);
      layer.names.forEach((name, k) => said.push(`${name} ${formatNumber(layer.columns[k][i])}`));
    } else if (layer.kind === "map") {
      const [row, column] = cell(layer, at);
      said.push(`${layer.short} ${formatNumber(layer.values[row * layer.shape[1] + column])} ${layer.unit}`);
    }
  }
  return said;
}

function cell(layer, at) {
  return [[layer.y, at.y, 0], [layer.x, at.x, 1]].map(([span, value, k]) => {
    const last = layer.shape[k] - 1;
    return Math.max(0, Math.min(last, Math.round(share(value, span) * last)));
  });
}

// The cursor after an arrow key: the next sample, the next reading, or 1/100 of the axis (with Shift 1/10).
export function moveCursor(cursor, key, far, layers, head) {
  const [axis, way] = { ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", 1], ArrowDown: ["y", -1] }[key];
  const samples = layers.find((layer) => layer.kind === "points");
  if (head.hover && samples?.x.length) {
    const from = Math.min(cursor?.sample ?? -1, samples.x.length - 1);
    return at(samples, from < 0 ? 0 : nextAlong(samples[axis], from, way));
  }
  const start = cursor ?? { x: (head.x.span[0] + head.x.span[1]) / 2, y: (head.y.span[0] + head.y.span[1]) / 2 };
  const read = layers.find((layer) => layer.kind === "readings");
  if (read && axis === "x") {
    const place = nearestIndex(read.at, start.x) + way * (far ? 10 : 1);
    return { ...start, x: read.at[Math.max(0, Math.min(read.at.length - 1, place))] };
  }
  const [low, high] = head[axis].span;
  const to = start[axis] + (way * (high - low)) / (far ? 10 : 100);
  return { ...start, [axis]: Math.max(low, Math.min(high, to)) };
}

function at(samples, i) {
  return { x: samples.x[i], y: samples.y[i], sample: i };
}

// The texts at the cursor: group and position of a sample; elsewhere the values of all layers and nearby marks.
export function describeCursor(cursor, layers, head, close) {
  const place = [formatValue(head.x, cursor.x)];
  if (cursor.sample >= 0) {
    const samples = layers.find((layer) => layer.kind === "points");
    const { name } = samples.groups[samples.group[cursor.sample]];
    return [name, ...place, formatValue(head.y, cursor.y)];
  }
  if (head.hover) return [...place, formatValue(head.y, cursor.y)];
  if (layers.some((layer) => layer.kind === "map")) place.push(formatValue(head.y, cursor.y));
  const marks = head.marks.filter((m) => !m.across && Math.abs(m.at - cursor.x) <= close).map((m) => m.text);
  return [...place, ...readAt(layers, head, cursor), ...marks];
}

function element(kind, className, parent, attributes = {}) {
  const made = document.createElement(kind);
  made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function imageAddress(buffer) {
  const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  return `data:image/png;base64,${btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""))}`;
}

function render({ model, el }) {
  const bar = element("div", "workbench-chart-bar", el);
  const logarithm = element("button", "workbench-chart-button", bar, { type: "button", "aria-pressed": "false" });
  logarithm.textContent = "Log scale";
  logarithm.setAttribute("aria-label", `Log scale: ${model.get("label")}`);
  const fit = element("button", "workbench-chart-button", bar, { type: "button" });
  fit.textContent = "Fit axes";
  fit.setAttribute("aria-label", `Fit axes: ${model.get("label")}`);
  let [frame, layers, to, cursor, anchor, asked, about] = [null, [], null, null, null, -1, null];
  let [log, askedAt, askedOf] = [false, 0, null];

  function draw(context, width, height, newest, colors) {
    if (!newest) return;
    if (newest !== frame) takeFrame(newest);
    const top = drawLegend(context, layers, width, colors);
    to = layout(frame.head, width, height, top, log && frame.head.y.least !== null);
    drawPlot(context, frame.head, layers, to, colors);
    if (cursor) drawCursor(context, colors);
    showTexts();
  }

  // A new frame; the cursor stays at its sample.
  function takeFrame(newest) {
    frame = newest;
    layers = unpackLayers(frame);
    logarithm.hidden = frame.head.y.least === null;
    fit.hidden = !frame.head.fits;
    note.textContent = frame.head.note;
    const samples = layers.find((layer) => layer.kind === "points");
    if (cursor?.sample >= 0) cursor = cursor.sample < samples.x.length ? at(samples, cursor.sample) : null;
    const read = layers.find((layer) => layer.kind === "readings");
    if (read && !cursor) cursor = { x: read.start, y: 0 };
  }

  function drawCursor(context, colors) {
    const [x, y] = [to.x(cursor.x), to.y(cursor.y)];
    context.strokeStyle = colors.ink;
    context.lineWidth = 1;
    context.beginPath();
    if (cursor.sample >= 0) context.arc(x, y, 7, 0, 2 * Math.PI);
    else {
      context.moveTo(x, to.top), context.lineTo(x, to.bottom);
      if (layers.some((layer) => layer.kind === "map")) context.moveTo(to.left, y), context.lineTo(to.right, y);
    }
    context.stroke();
    if (!anchor) return;
    const whole = frame.head.brush === "x";
    const [left, top] = [to.x(anchor.x), whole ? to.top : to.y(anchor.y)];
    context.fillStyle = "rgba(127, 127, 127, 0.25)";
    context.fillRect(left, top, x - left, (whole ? to.bottom : y) - top);
    context.strokeRect(left, top, x - left, (whole ? to.bottom : y) - top);
  }

  // Show the texts at the cursor: below the plot for a threshold, else beside the cursor.
  function showTexts() {
    const close = (5 * (to.spans.x[1] - to.spans.x[0])) / (to.right - to.left);
    const words = cursor ? describeCursor(cursor, layers, frame.head, close) : [];
    const sticks = layers.some((layer) => layer.kind === "readings");
    readout.textContent = sticks ? words.join(" · ") : "";
    if (sticks || !cursor) return showTip(stageOf.tip, 0, 0, "");
    const known = about?.i === cursor.sample ? about : null;
    const text = [...words, ...(known ? [known.text] : [])].join("\n");
    showTip(stageOf.tip, to.x(cursor.x), stageOf.canvas.offsetTop + to.y(cursor.y), text, known?.image);
    if (cursor.sample >= 0) requestSample();
  }

  // Request the description of a sample, repeatedly, since it changes during training.
  function requestSample() {
    const now = performance.now();
    if (cursor.sample === asked && (now - askedAt < AGAIN || askedOf === frame)) return;
    [asked, askedAt, askedOf] = [cursor.sample, now, frame];
    model.send({ hover: asked });
  }

  function clampPosition(x, y) {
    return to.values(Math.max(to.left, Math.min(to.right, x)), Math.max(to.top, Math.min(to.bottom, y)));
  }

  function point(x, y) {
    const samples = frame.head.hover && layers.find((layer) => layer.kind === "points");
    const near = samples ? nearestPoint(Array.from(samples.x, to.x), Array.from(samples.y, to.y), x, y, NEAR) : -1;
    if (near >= 0) return at(samples, near);
    const place = clampPosition(x, y);
    const read = layers.find((layer) => layer.kind === "readings");
    return read ? { ...place, x: read.at[nearestIndex(read.at, place.x)] } : place;
  }

  // End of the brush. Without movement it selects the sample at this point, or nothing.
  function sendBrush(still) {
    const empty = still && !(cursor.sample >= 0);
    model.send({ brush: empty ? null : between(anchor, cursor, to.spans) });
    anchor = null;
  }

  function onKey(event) {
    if (!frame || !to) return;
    if (event.key.startsWith("Arrow")) cursor = moveCursor(cursor, event.key, event.shiftKey, layers, frame.head);
    else if (event.key === "Enter" && frame.head.brush && cursor) {
      if (anchor) sendBrush(false);
      else anchor = cursor;
    } else if (event.key === "Escape") {
      if (!anchor && frame.head.brush) model.send({ brush: null });
      anchor = null;
      if (!layers.some((layer) => layer.kind === "readings")) cursor = null;
    } else return;
    event.preventDefault();
    stageOf.redraw();
  }

  const stageOf = stage(model, el, { height: model.get("height"), label: model.get("label"), draw });
  const readout = element("div", "workbench-chart-readout", el, { role: "status" });
  const note = element("div", "workbench-chart-note", el);
  const { canvas, redraw } = stageOf;
  stageOf.tip.setAttribute("role", "status");
  let began = null; // pointer position at button down, in CSS pixels
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("pointerdown", (event) => {
    if (!to) return;
    cursor = point(event.offsetX, event.offsetY);
    began = [event.offsetX, event.offsetY];
    if (frame.head.brush) anchor = clampPosition(...began);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!to) return;
    cursor = (began && anchor ? clampPosition : point)(event.offsetX, event.offsetY);
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!to || !began) return;
    const still = Math.hypot(event.offsetX - began[0], event.offsetY - began[1]) < 4;
    if (still) cursor = point(...began);
    if (still && anchor) anchor = cursor;
    if (anchor) sendBrush(still);
    began = null;
    redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    if (began || layers.some((layer) => layer.kind === "readings")) return;
    if (!anchor) cursor = null;
    redraw();
  });
  logarithm.addEventListener("click", () => {
    log = !log;
    logarithm.setAttribute("aria-pressed", String(log));
    redraw();
  });
  fit.addEventListener("click", () => model.send({ fit: true }));
  const answered = (message, buffers) => {
    if (message.about === undefined) return;
    about = { i: message.about, text: message.text, image: buffers.length ? imageAddress(buffers[0]) : null };
    redraw();
  };
  model.on("msg:custom", answered);
  return () => {
    model.off("msg:custom", answered);
    stageOf.close();
  };
}

export default { render };
