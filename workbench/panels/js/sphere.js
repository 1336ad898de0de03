// SphereView: points that are interpolated between frames, centers, boundaries; pointer and keyboard.

const FIRST = orthonormalize([-0.707, 0.707, 0, -0.25, -0.25, 0.93, 0.68, 0.68, 0.27]); // initial rotation: from the side, slightly above
const FLUENT = 60; // milliseconds between frames below which no interpolation is needed
const HELP =
  "Embeddings and class centers. Arrow keys rotate the sphere; Page Up and Page Down move between centers, Enter" +
  " selects one, Escape clears the selection, Home resets the rotation. Shift and drag selects points.";

export function render({ model, el }) {
  const controls = buildControls(model);
  const box = document.createElement("div");
  const line = document.createElement("div");
  line.className = "workbench-sphere-line";
  el.append(controls.row, box, line);
  const view = { R: FIRST, focus: -1, hovered: -1, lasso: null, frame: null };
  let sliding = 0;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  const draw = (context, width, height, frame, colors) => {
    if (frame && frame !== view.frame) {
      take(view, frame, model.get("smooth") && !still.matches);
      line.textContent = frame.head.line;
    }
    if (!view.head) return;
    const now = performance.now();
    const s = view.theta === undefined ? 1 : Math.min(1, (now - view.began) / view.span);
    if (s < 1) {
      view.points = between(view.from, view.to, view.k, s, view.theta);
      view.centers = between(view.fromCenters, view.toCenters, view.k, s, view.thetaCenters);
    } else {
      [view.points, view.centers, view.theta] = [view.to, view.toCenters, undefined];
    }
    drawView(context, width, height, view, classStyles(model, colors), colors);
    clearTimeout(sliding); // at most 1/3 of the time is spent on interpolation
    if (s < 1) sliding = setTimeout(live.redraw, 2 * (performance.now() - now));
  };
  const live = stage(model, box, { height: HEIGHT, label: HELP, draw });
  const stop = [controls.close, attachHandlers(model, view, live), live.close];
  const traits = "change:labels change:lit change:chosen change:titles";
  model.on(traits, live.redraw);
  stop.push(() => model.off(traits, live.redraw), () => clearTimeout(sliding));
  return () => stop.forEach((end) => end());
}

export default { render };

// Take a new frame: its target positions, and the interpolation to them over the time since the previous frame.
export function take(view, frame, smooth, now = performance.now()) {
  const { head, arrays } = frame;
  const k = head.kind === "sphere" ? 3 : 2;
  const whole = numbers(arrays[0], Int16Array);
  const to = new Float32Array(whole.length);
  for (let i = 0; i < to.length; i++) to[i] = (whole[i] * head.reach) / 32767;
  const centers = floats(arrays[1]);
  const same = view.head && view.head.view === head.view && view.to.length === to.length && view.toCenters.length === centers.length;
  view.theta = undefined;
  view.span = Math.min(500, now - (view.began ?? now));
  if (smooth && same && view.span > FLUENT) {
    [view.from, view.fromCenters] = [view.points, view.centers];
    view.theta = head.kind === "flat" ? null : angles(view.from, to, k);
    view.thetaCenters = head.kind === "flat" ? null : angles(view.fromCenters, centers, k);
  } else {
    [view.points, view.centers] = [to, centers];
  }
  Object.assign(view, { frame, head, k, to, toCenters: centers, wrong: numbers(arrays[2], Uint8Array), began: now });
}

// Attach pointer and keyboard handlers; returns a function that removes them.
function attachHandlers(model, view, live) {
  const { canvas, tip } = live;
  let held = null;
  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    return [event.clientX - area.left, event.clientY - area.top];
  };
  const choose = (row, add) => {
    const [id, chosen] = [model.get("ids")[row], model.get("chosen")];
    model.send({ classes: !add ? [id] : chosen.includes(id) ? chosen.filter((c) => c !== id) : [...chosen, id] });
  };
  const turn = (right, down) => {
    view.R = rotate(view.R, right, down);
    live.redraw();
  };
  const hover = (x, y) => {
    if (!view.at || view.head.empty) return;
    const center = hit(view.atCenters, x, y, 10);
    const point = center < 0 ? hit(view.at, x, y, 8) : -1;
    if (center >= 0) showTip(tip, x, y, `center of ${model.get("titles")[center]}\nClick to select the class.`);
    else if (point < 0) showTip(tip);
    else if (point !== view.hovered) {
      const row = numbers(model.get("labels"), Int32Array)[point];
      showTip(tip, x, y, `${model.get("titles")[row]}, sample ${point}${bit(view.wrong, point) ? "\nmisclassified" : ""}`);
      model.send({ hover: point });
    }
    [view.hovered, view.pointer] = [point, [x, y]];
  };
  const on = {
    pointerdown(event) {
      const [x, y] = place(event);
      held = { x, y, moved: 0, lasso: event.shiftKey || view.head?.kind !== "sphere" };
      canvas.setPointerCapture(event.pointerId);
      showTip(tip);
    },
    pointermove(event) {
      const [x, y] = place(event);
      if (!held) return hover(x, y);
      held.moved += Math.hypot(x - held.x, y - held.y);
      if (held.lasso) view.lasso = [...(view.lasso ?? [[held.x, held.y]]), [x, y]];
      else turn((x - held.x) / view.scale, (y - held.y) / view.scale);
      [held.x, held.y] = [x, y];
      live.redraw();
    },
    pointerup(event) {
      if (!held) return;
      const [x, y] = place(event);
      if (held.moved < 4 && view.at) {
        const center = hit(view.atCenters, x, y, 10);
        const point = hit(view.at, x, y, 8);
        if (center >= 0) choose(center, event.shiftKey || event.ctrlKey || event.metaKey);
        else if (point >= 0) model.send({ samples: [point] });
      } else if (view.lasso) model.send({ samples: pointsInside(view.at, view.lasso) });
      [held, view.lasso] = [null, null];
      live.redraw();
    },
    pointercancel() {
      [held, view.lasso] = [null, null];
      live.redraw();
    },
    pointerleave() {
      if (!held) showTip(tip);
      view.hovered = -1;
    },
    keydown(event) {
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const rows = model.get("ids").length;
      const onward = arrow ? arrow[0] + arrow[1] : { PageDown: 1, PageUp: -1 }[event.key];
      if (arrow && view.head?.kind === "sphere") turn(arrow[0] * 0.087, arrow[1] * 0.087);
      else if (onward && rows) view.focus = (Math.max(view.focus, onward > 0 ? -1 : 0) + onward + rows) % rows;
      else if (event.key === "Enter" && view.focus >= 0) choose(view.focus, event.shiftKey);
      else if (event.key === "Escape") {
        [held, view.lasso, view.focus] = [null, null, -1];
        model.send({ classes: [] });
      } else if (event.key === "Home") view.R = FIRST;
      else return;
      event.preventDefault();
      event.stopPropagation();
      live.redraw();
    },
  };
  const answered = (content) => {
    if (content.about !== undefined && content.about === view.hovered) showTip(tip, ...view.pointer, content.text, content.image);
  };
  for (const [name, action] of Object.entries(on)) canvas.addEventListener(name, action);
  model.on("msg:custom", answered);
  return () => model.off("msg:custom", answered);
}
