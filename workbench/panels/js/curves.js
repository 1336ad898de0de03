// T and N with the controls of the loss. Dragging a slider, or the curve, draws from the ladder of its parameter while
// the kernel computes; its exact curve then replaces the interpolated one.

const HEIGHT = 400;
const REACH = 14; // pixels between the pointer and a curve to grab it
const OVERDUE = 2000; // milliseconds after which an accepted change that no frame contains is discarded

function render({ model, el }) {
  el.classList.add("workbench-curves");
  suppressShortcuts(el);
  const panel = element("div", "workbench-curves-controls", "", { role: "group", "aria-label": "parameters of the loss" });
  const view = element("div", "workbench-curves-view");
  const words = element("p", "workbench-curves-words", "", { role: "status" });
  const live = element("p", "workbench-curves-live");
  const problem = element("p", "workbench-curves-problem", "", { role: "alert" });
  const box = element("div", "");
  view.append(words, live, problem, box);
  el.append(panel, view);

  let now = null; // the newest frame: {head, exact, plain, before}
  let arranged = ""; // the specs of the present controls
  let said = ""; // the error of the last change
  let controls = {};
  const ladders = {};
  const wanted = {}; // requested ladder versions
  let pending = {}; // values set here that no frame contains yet
  let held = null; // while the curve is dragged: {of: "T" or "boundary", start, dx, dy}
  let ghost = null; // the curves when a control was grabbed
  let span = null;
  let plot = null;

  const post = messenger(model, {
    late(text) {
      said = text;
      show();
    },
    done(change, text) {
      said = text;
      if (text) held = null;
      if (text) discard(change);
      else setTimeout(() => discard(change), OVERDUE);
      show();
    },
  });
  // Discard a change: the control shows the kernel's value again.
  function discard(change) {
    for (const name of Object.keys(change).filter((key) => pending[key] === change[key])) {
      delete pending[name];
      controls[name]?.show(now.head.values[name]);
    }
    show();
  }
  const valueOf = (name) => (name in pending ? pending[name] : now.head.values[name]);
  const ladderOf = (name) => (name && ladders[name]?.version === now.head.ladders[name] ? ladders[name] : null);

  function grab(name) {
    if (Object.keys(pending).length) return;
    model.send({ grab: name });
    ghost = now.exact;
  }
  function move(name, value) {
    if (value === null || value === valueOf(name)) return controls[name].show(valueOf(name));
    pending[name] = value;
    controls[name].show(value);
    post.set({ [name]: value });
    show();
  }
  function curves() {
    const names = Object.keys(pending);
    const ladder = names.length === 1 ? ladderOf(names[0]) : null;
    return ladder ? climb(ladder, pending[names[0]]) : now.exact;
  }

  function arrange(specs) {
    const key = JSON.stringify(specs);
    if (key === arranged) return;
    arranged = key;
    controls = {};
    const groups = [[true, "Parameters that change the curves"], [false, "Parameters that do not change T and N"]].map(([front, title]) => {
      const group = element("fieldset", "");
      group.append(element("legend", "", title));
      for (const spec of specs.filter((s) => s.front === front)) {
        controls[spec.name] = control(spec, (value) => move(spec.name, value), () => grab(spec.name));
        group.append(controls[spec.name].row);
      }
      return group;
    });
    panel.replaceChildren(...groups.filter((group) => group.children.length > 1));
  }

  function take(frame) {
    const { head } = frame;
    now = { head, frame, exact: null, plain: null, before: null };
    if (frame.arrays.length) {
      const all = floats(frame.arrays[0]);
      const size = all.length / (head.before ? 6 : 4);
      const row = (i) => all.subarray(i * size, (i + 1) * size);
      now.exact = { T: row(0), N: row(1), marks: head.marks };
      now.plain = [row(2), row(3)];
      if (head.before) now.before = { T: row(4), N: row(5), marks: head.before };
    }
    for (const name of Object.keys(pending)) if (pending[name] === head.values[name]) delete pending[name];
    arrange(head.controls);
    for (const name of Object.keys(controls)) if (!(name in pending)) controls[name].show(head.values[name]);
    const missing = Object.keys(head.ladders).filter((name) => wanted[name] !== head.ladders[name]);
    for (const name of missing) wanted[name] = head.ladders[name];
    if (missing.length) model.send({ ladders: missing });
  }

  function describe() {
    const waiting = Object.keys(pending).length > 0;
    const { head } = now;
    const set = (node, text) => node.textContent !== text && (node.textContent = text);
    if (head.words && !waiting) set(words, `${head.title}. ${head.words}`);
    words.classList.toggle("workbench-curves-stale", waiting);
    set(live, `Centers ${angle(head.theta)} apart.${head.live ? ` At this step: ${head.live}.` : ""}`);
    set(problem, said || head.problem);
    describeCanvas(head.handle && head.controls.find((spec) => spec.name === head.handle));
  }
  function describeCanvas(spec) {
    if (!spec) return;
    const turned = spec.unit === "rad" ? ` rad = ${degrees(valueOf(spec.name))}` : "";
    const at = { "aria-valuemin": spec.low, "aria-valuemax": spec.high, "aria-valuenow": valueOf(spec.name) };
    const text = `${spec.symbol} = ${roundValue(valueOf(spec.name))}${turned}`;
    const label = `T and N against the angle; drag T, or press arrow keys, to change ${spec.symbol}: ${spec.meaning}`;
    for (const [key, value] of Object.entries({ ...at, role: "slider", "aria-valuetext": text, "aria-label": label })) {
      drawn.canvas.setAttribute(key, value);
    }
  }

  function draw(c, width, height, frame, colors) {
    if (frame && frame !== now?.frame) take(frame);
    if (!now) return;
    describe();
    if (!now.exact) return;
    const shown = curves();
    const before = Object.keys(pending).length ? ghost : now.before;
    const needed = logitSpan([shown.T, shown.N, ...(before ? [before.T, before.N] : [])]);
    // While the curve is dragged the axis may grow, but not shrink.
    span = held && span ? [Math.min(span[0], needed[0]), Math.max(span[1], needed[1])] : needed;
    plot = plotOf(width, height, now.head.theta, span, colors, now.head.color);
    c.font = FONT;
    drawAxes(c, plot);
    drawRegions(c, shown, plot);
    for (const values of now.plain) for (const p of pieces(values, [], plot.theta)) stroke(c, p, plot, colors.faint, 1.2, [2, 3]);
    if (before) {
      drawCurves(c, before, plot, GHOST, 1.5, true);
      for (const phi of before.marks[2]) stroke(c, [[phi, plot.low], [phi, plot.high - HEADROOM]], plot, GHOST, 1.2);
    }
    drawCurves(c, shown, plot, plot.color, 2.5, false);
    drawMasts(c, shown.marks, plot, held?.of === "boundary");
    if (now.head.hard) drawHard(c, now.head.hard, plot);
    drawLegend(c, plot, now.head.state, before);
  }

  // Dragging the curve.
  function positionOf(event) {
    const phi = ((event.offsetX - plot.box.left) / (plot.box.right - plot.box.left)) * plot.theta;
    const logit = plot.low + ((plot.box.bottom - event.offsetY) / (plot.box.bottom - plot.box.top)) * (plot.high - plot.low);
    return [Math.min(plot.theta, Math.max(0, phi)), logit];
  }
  function hitTest(event) {
    if (!plot || !ladderOf(now.head.handle)) return null;
    const shown = curves();
    const [phi, logit] = positionOf(event);
    const T = read(shown.T, phi, plot.theta);
    if (Math.abs(plot.y(T) - event.offsetY) < REACH) return { of: "T", dx: 0, dy: T - logit };
    const [boundary] = shown.marks[2];
    const near = shown.marks[2].length === 1 && Math.abs(plot.x(boundary) - event.offsetX) < REACH / 2;
    return near ? { of: "boundary", dx: boundary - phi, dy: 0 } : null;
  }
  function onDrag(event) {
    const name = now.head.handle;
    const ladder = ladderOf(name);
    if (!ladder) return;
    const [phi, logit] = positionOf(event);
    const [present, T] = [valueOf(name), logit + held.dy];
    const value = held.of === "T" ? valueOfT(ladder, phi, T, present) : valueOfBoundary(ladder, phi + held.dx, present);
    const rounded = Number(value.toPrecision(4));
    if (rounded !== present) move(name, rounded);
  }
  function hover(event) {
    if (!plot || !now.exact || event.offsetX < plot.box.left || event.offsetX > plot.box.right) return showTip(drawn.tip, 0, 0, "");
    const shown = curves();
    const [phi] = positionOf(event);
    const [T, N] = [read(shown.T, phi, plot.theta), read(shown.N, phi, plot.theta)];
    const wins = T > N ? "target wins" : "other class wins";
    showTip(drawn.tip, event.offsetX, event.offsetY, `φ = ${angle(phi)}\nT = ${T.toFixed(3)}, N = ${N.toFixed(3)}\n${wins}`);
  }
  function onKey(event) {
    const name = now?.head.handle;
    const spec = now?.head.controls.find((found) => found.name === name);
    if (!spec) return;
    const by = spec.step * (event.shiftKey ? 10 : 1);
    const steps = { ArrowRight: by, ArrowUp: by, ArrowLeft: -by, ArrowDown: -by };
    const ends = { Home: spec.low, End: spec.high };
    let value = null;
    if (event.key in steps) value = Number((valueOf(name) + steps[event.key]).toPrecision(6));
    else if (event.key in ends) value = ends[event.key];
    else if (event.key === "Escape" && held) [value, held] = [held.start, null];
    if (value === null) return;
    event.preventDefault();
    move(name, Math.min(spec.high, Math.max(spec.low, value)));
  }

  const drawn = stage(model, box, { height: HEIGHT, label: "T and N against the angle", draw });
  const show = drawn.redraw;
  const { canvas } = drawn;
  canvas.addEventListener("pointerdown", (event) => {
    held = hitTest(event);
    if (!held) return;
    held.start = valueOf(now.head.handle);
    canvas.setPointerCapture(event.pointerId);
    grab(now.head.handle);
    showTip(drawn.tip, 0, 0, "");
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held) return onDrag(event);
    canvas.style.cursor = hitTest(event) ? "grab" : "default";
    hover(event);
  });
  const letGo = () => {
    held = null;
    show();
  };
  canvas.addEventListener("pointerup", letGo);
  canvas.addEventListener("pointercancel", letGo);
  canvas.addEventListener("pointerleave", () => showTip(drawn.tip, 0, 0, ""));
  canvas.addEventListener("focus", () => now?.head.handle && grab(now.head.handle));
  canvas.addEventListener("keydown", onKey);

  function received(message, buffers) {
    if (message.answered) post.answered(message);
    if (!message.ladder) return;
    const { values, marks, theta, version } = message;
    const all = floats(buffers[0]);
    const size = all.length / (2 * values.length);
    const rows = (curve) => values.map((_, k) => all.subarray((curve * values.length + k) * size, (curve * values.length + k + 1) * size));
    ladders[message.ladder] = { values, marks, theta, version, T: rows(0), N: rows(1) };
    show();
  }
  model.on("msg:custom", received);
  model.send({ ladders: [] });
  return () => {
    model.off("msg:custom", received);
    post.close();
    drawn.close();
  };
}

export default { render };
