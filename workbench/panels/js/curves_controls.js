// Controls of a loss, generated from the declarations of its parameters, and the messages of their changes.

const PATIENCE = 4000; // milliseconds before a missing answer is reported

// A number as shown in a number box.
export const roundValue = (value) => String(Number(Number(value).toPrecision(5)));

function element(tag, className, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// The row of one parameter: {row, show(value)}. Calls moved(value) on a change and grabbed() at its start.
function control(spec, moved, grabbed) {
  const unit = spec.unit ? ` [${spec.unit}]` : "";
  const name = `${spec.symbol}: ${spec.meaning}${unit}`;
  const row = element("div", "workbench-curves-control");
  const label = element("div", "workbench-curves-label", ` ${spec.meaning}${unit}`);
  label.prepend(element("b", "", spec.symbol));
  const line = element("div", "workbench-curves-line");
  row.append(label, line);
  row.addEventListener("focusin", grabbed);
  row.addEventListener("pointerdown", grabbed);
  if (spec.choices) {
    const list = element("select", "", "", { "aria-label": name });
    spec.choices.forEach((choice, i) => list.append(element("option", "", String(choice), { value: i })));
    list.addEventListener("change", () => moved(spec.choices[Number(list.value)]));
    line.append(list);
    return { row, show: (value) => void (list.value = spec.choices.indexOf(value)) };
  }
  const box = element("input", "", "", { type: "number", step: spec.step ?? "any", "aria-label": `${name}, as a number` });
  let typing = false; // do not overwrite unfinished input
  box.addEventListener("input", () => (typing = true));
  box.addEventListener("blur", () => (typing = false));
  function finish() {
    typing = false;
    moved(box.value === "" ? null : Number(box.value));
  }
  box.addEventListener("change", finish);
  box.addEventListener("keydown", (event) => event.key === "Enter" && typing && finish());
  const turned = element("span", "workbench-curves-turned");
  const slider = spec.step === undefined ? null : range(spec, name, moved);
  line.append(...(slider ? [slider.input] : []), box, turned);
  function show(value) {
    if (!typing) box.value = roundValue(value);
    slider?.show(value);
    if (spec.unit === "rad") turned.textContent = `= ${degrees(value)}`;
  }
  return { row, show };
}

function range(spec, name, moved) {
  const ends = spec.factors ? { min: 0, max: 1000, step: 1 } : { min: spec.low, max: spec.high, step: spec.step };
  const input = element("input", "", "", { type: "range", "aria-label": name, ...ends });
  input.addEventListener("input", () => {
    moved(spec.factors ? fromSlider(Number(input.value), spec.low, spec.high) : Number(input.value));
  });
  function show(value) {
    const at = spec.factors ? toSlider(value, spec.low, spec.high) : value;
    if (Math.abs(Number(input.value) - at) > ends.step / 2) input.value = at;
    const turned = spec.unit === "rad" ? ` = ${degrees(value)}` : "";
    input.setAttribute("aria-valuetext", `${roundValue(value)} ${spec.unit}${turned}`);
  }
  return { input, show };
}

// Sends changes, at most one of them unanswered. Further changes are merged, the newest value of each name wins.
// done(change, problem): called with the answer, problem '' if accepted; late(text): called if the answer is late.
export function messenger(model, { done, late }) {
  const page = Math.random().toString(36).slice(2);
  let count = 0;
  let waiting = null;
  let next = null;
  let clock = 0;
  function send(change) {
    waiting = { id: `${page}:${(count += 1)}`, change };
    model.send({ set: change, id: waiting.id });
    clock = setTimeout(() => late("No answer from the kernel: it is busy or has stopped."), PATIENCE);
  }
  return {
    set(change) {
      if (waiting) next = { ...next, ...change };
      else send(change);
    },
    answered({ answered, problem }) {
      if (!waiting || answered !== waiting.id) return;
      clearTimeout(clock);
      const { change } = waiting;
      waiting = null;
      done(change, problem ?? "");
      const after = next;
      next = null;
      if (after) send(after);
    },
    close: () => clearTimeout(clock),
  };
}
