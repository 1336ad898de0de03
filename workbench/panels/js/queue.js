// QueueView: a table of the hard negatives of a class. Frames update rows in place, so that a row keeps the focus when
// its class moves. Click or Enter selects a row, Escape clears the selection.

const COLUMNS = [
  "Rank",
  "Images (own, other)",
  "Class",
  "Cosine between centers",
  "Angle between centers",
  "Cosine of the hardest own sample",
  "Age",
  "Reason",
];
const [IMAGES, NAME, AGE] = [1, 2, 6]; // column indices
const KEPT = 400; // cached images

// The row that receives the focus after a key, from row `at` of `count`.
export function nextRow(key, at, count) {
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: count - 1 }[key];
  return to === undefined ? at : Math.max(0, Math.min(count - 1, to));
}

// Style of a row: "picked" if its class is selected, "gray" if other classes are.
export function rowStyle(id, own, chosen) {
  if (chosen.includes(id)) return "picked";
  return chosen.some((j) => j !== own) ? "gray" : "";
}

// The samples in these rows whose images are not requested yet.
export function missingImages(rows, known) {
  const samples = rows.flatMap((row) => row.images.map(([sample]) => sample));
  return [...new Set(samples)].filter((sample) => sample >= 0 && !known.has(sample));
}

function make(kind, parent, text = "", attributes = {}) {
  const made = document.createElement(kind);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The class list, or a number box for many classes.
function chooser(model, parent) {
  const label = make("label", parent, "Hard negatives of ");
  const list = make("select", label, "", { "aria-label": "Class whose hard negatives are shown" });
  const number = make("input", label, "", { type: "number", min: 0, "aria-label": "Index of the class shown" });
  const choose = (value) => {
    model.set("own", Math.max(0, Math.min(model.get("classes") - 1, Math.round(Number(value)) || 0)));
    model.save_changes();
    number.value = model.get("own");
  };
  list.addEventListener("change", () => choose(list.value));
  number.addEventListener("change", () => choose(number.value));
  const fill = () => {
    const [titles, own] = [model.get("titles"), model.get("own")];
    if (list.options.length !== titles.length || titles.some((title, j) => list.options[j].text !== title)) {
      list.replaceChildren(...titles.map((title, j) => new Option(title, j)));
    }
    list.value = own;
    list.hidden = titles.length === 0;
    number.hidden = titles.length > 0;
    number.max = model.get("classes") - 1;
    if (document.activeElement !== number) number.value = own;
  };
  model.on("change:own change:titles change:classes", fill);
  fill();
  return () => model.off("change:own change:titles change:classes", fill);
}

function newRow(body) {
  const row = make("tr", body, "", { tabindex: 0 });
  const cells = COLUMNS.map(() => make("td", row));
  const pictures = [0, 1].map(() => make("img", cells[IMAGES], "", { alt: "" }));
  return { row, cells, pictures };
}

// Hide columns without content.
function trim(cells, columns) {
  cells[IMAGES].hidden = !columns.images;
  cells[AGE].hidden = !columns.age;
}

function render({ model, el }) {
  el.classList.add("workbench-live", "workbench-queue");
  suppressShortcuts(el);
  const controls = make("div", el, "", { class: "workbench-queue-row" });
  const stopChoosing = chooser(model, controls);
  make("button", controls, "Most confused class", { type: "button" }).addEventListener("click", () => model.send({ confused: true }));
  make("button", controls, "Clear selection", { type: "button" }).addEventListener("click", () => model.send({ clear: true }));
  const line = make("div", el, "", { class: "workbench-queue-line" });
  const scroll = make("div", el, "", { class: "workbench-queue-scroll" });
  const table = make("table", scroll, "", { role: "grid" });
  const top = make("tr", make("thead", table));
  const titles = COLUMNS.map((title) => make("th", top, title, { scope: "col" }));
  const body = make("tbody", table);
  const rows = new Map(); // class -> row
  const images = new Map(); // sample -> URL of its image, "" while it is requested
  let [newest, answered, asked] = [null, 0, 0];

  function paint() {
    asked = 0;
    if (!newest) return;
    const { head } = newest;
    setText(line, head.line);
    table.setAttribute("aria-label", `Hard negatives of ${head.name}`);
    trim(titles, head.columns);
    table.hidden = head.rows.length === 0;
    const focused = document.activeElement;
    for (const [id, { row }] of rows) if (!head.rows.some((r) => r.id === id)) row.remove(), rows.delete(id);
    head.rows.forEach((r, k) => {
      if (!rows.has(r.id)) rows.set(r.id, newRow(body));
      const entry = rows.get(r.id);
      if (body.rows[k] !== entry.row) body.insertBefore(entry.row, body.rows[k] ?? null);
      fill(entry, r, k);
    });
    if (focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true });
    mark();
    if (head.columns.images) requestImages(head.rows);
    if (head.frame > answered) {
      answered = head.frame;
      model.send({ drawn: answered });
    }
  }

  function fill({ row, cells, pictures }, r, k) {
    row.dataset.id = r.id;
    trim(cells, newest.head.columns);
    [String(k + 1), null, r.name, r.cosine, r.angle, r.sample, r.age, r.why].forEach((text, c) => {
      if (text !== null) setText(cells[c], text);
    });
    r.images.forEach(([sample, name], c) => {
      const address = images.get(sample);
      pictures[c].hidden = !address;
      if (address && pictures[c].src !== address) pictures[c].src = address;
      pictures[c].alt = `${name}, sample ${sample}`;
      pictures[c].title = pictures[c].alt;
    });
  }

  // Apply the selection to the rows.
  function mark() {
    const chosen = model.get("chosen");
    for (const [id, { row, cells }] of rows) {
      const how = rowStyle(id, newest.head.own, chosen);
      row.className = how && `workbench-queue-${how}`;
      row.setAttribute("aria-selected", String(how === "picked"));
      cells[NAME].title = how === "picked" ? "selected" : "";
    }
  }

  function requestImages(shown) {
    const wanted = missingImages(shown, images);
    if (!wanted.length) return;
    wanted.forEach((sample) => images.set(sample, ""));
    for (const sample of [...images.keys()].slice(0, Math.max(0, images.size - KEPT))) {
      URL.revokeObjectURL(images.get(sample));
      images.delete(sample);
    }
    model.send({ pictures: wanted });
  }

  const redraw = () => {
    if (!asked) asked = requestAnimationFrame(paint);
  };
  const received = (content, buffers) => {
    if (content.frame !== undefined && (!newest || content.frame > newest.head.frame)) newest = { head: content };
    content.pictures?.forEach((sample, k) => {
      if (!images.get(sample)) images.set(sample, URL.createObjectURL(new Blob([buffers[k]], { type: "image/png" })));
    });
    redraw();
  };
  const pick = (row) => model.send({ pick: Number(row.dataset.id) });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) pick(row);
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.key === "Enter" || event.key === " ") pick(row);
    else if (event.key === "Escape") model.send({ clear: true });
    else if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      body.rows[nextRow(event.key, row.sectionRowIndex, body.rows.length)].focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("msg:custom", received);
  model.on("change:chosen", redraw);
  model.send({ ready: true });
  return () => {
    cancelAnimationFrame(asked);
    stopChoosing();
    model.off("msg:custom", received);
    model.off("change:chosen", redraw);
    images.forEach((address) => URL.revokeObjectURL(address));
  };
}

export default { render };
