// Shared by the live widgets: canvas, page colors, tooltip, and the frame protocol: the newest frame is drawn once per
// display refresh and then acknowledged, so that the kernel sends no more frames than are drawn.

// Okabe-Ito palette without yellow, which has no contrast on white.
export const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#7F7F7F"];

export function isDark() {
  const light = document.body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

// Colors of the page: text, faint text, grid lines, grayed-out points, background.
export function pageColors() {
  return isDark()
    ? { dark: true, ink: "#E6E6E6", faint: "#A8A8A8", grid: "#3A3A3A", gray: "#5A5A5A", paper: "#111111" }
    : { dark: false, ink: "#1F1F1F", faint: "#595959", grid: "#E2E2E2", gray: "#C4C4C4", paper: "#FFFFFF" };
}

// Suppress JupyterLab's shortcuts for keys pressed in `el`. JupyterLab checks the focused element only, not its
// ancestors.
export function suppressShortcuts(el) {
  el.addEventListener("focusin", (event) => (event.target.dataset.lmSuppressShortcuts = "true"));
}

// A canvas in `el` that draws the newest frame of `model`. draw(context, width, height, frame, colors) is called with
// sizes in CSS pixels and frame = {head, arrays: [DataView]}, or null before the first one. Returns {canvas, tip,
// redraw, close}; redraw requests a drawing at the next display refresh. label: accessible name.
export function stage(model, el, { height, label, draw }) {
  el.classList.add("workbench-live");
  suppressShortcuts(el);
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  canvas.style.height = `${height}px`;
  const tip = document.createElement("div");
  tip.className = "workbench-tip";
  el.append(canvas, tip);
  const context = canvas.getContext("2d");
  let newest = null;
  let answered = 0;
  let asked = 0;
  let dark = isDark(); // at the last drawing

  function paint() {
    asked = 0;
    const width = canvas.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    if (width > 0) {
      const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      draw(context, width, height, newest, pageColors());
      dark = isDark();
    } else if (canvas.isConnected && dark !== isDark()) {
      setTimeout(redraw, 200); // JupyterLab hides the page for a moment while it changes the theme
    }
    if (newest && newest.head.frame > answered) {
      answered = newest.head.frame;
      model.send({ drawn: answered });
    }
  }
  const redraw = () => {
    if (!asked) asked = requestAnimationFrame(paint);
  };
  const received = (head, buffers) => {
    if (head.frame === undefined) return;
    if (!newest || head.frame > newest.head.frame) newest = { head, arrays: buffers };
    redraw();
  };
  model.on("msg:custom", received);
  const size = new ResizeObserver(redraw);
  size.observe(canvas);
  const theme = new MutationObserver(redraw);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  model.send({ ready: true });
  redraw();
  return {
    canvas,
    tip,
    redraw,
    close() {
      cancelAnimationFrame(asked);
      model.off("msg:custom", received);
      size.disconnect();
      theme.disconnect();
    },
  };
}

// An array of a frame as numbers. Buffers that are not aligned are copied.
export function floats(view) {
  return numbers(view, Float32Array);
}

export function numbers(view, Kind) {
  if (view.byteOffset % Kind.BYTES_PER_ELEMENT === 0) {
    return new Kind(view.buffer, view.byteOffset, view.byteLength / Kind.BYTES_PER_ELEMENT);
  }
  return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// Show text in the tooltip at a canvas position in CSS pixels; no text hides it. image: a data URL, optional.
export function showTip(tip, x, y, text, image) {
  tip.style.display = text ? "block" : "none";
  if (!text) return;
  tip.textContent = text;
  if (image) {
    const picture = document.createElement("img");
    picture.src = image;
    picture.alt = "";
    tip.prepend(picture);
  }
  const left = x + 14 + tip.offsetWidth > tip.parentElement.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${y + 10}px`;
}

// Ticks at multiples of 1, 2 or 5 times a power of ten, at most `most` of them.
export function ticks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}
