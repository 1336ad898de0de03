// The row of controls above the figure: each sets a trait or sends a message.
function buildControls(model) {
  const row = document.createElement("div");
  row.className = "workbench-sphere-row";
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  const list = (label, action) => {
    const box = document.createElement("select");
    box.setAttribute("aria-label", label);
    box.addEventListener("change", () => action(box));
    row.append(box);
    return box;
  };
  const press = (words, action) => {
    const button = document.createElement("button");
    button.textContent = words;
    button.addEventListener("click", action);
    row.append(button);
    return button;
  };
  const projection = list("Projection", (box) => set("projection", box.value));
  const pair = ["First class", "Second class"].map((label) => list(label, () => set("pair", pair.map((box) => Number(box.value)))));
  const at = list("Class of the tangent plane", (box) => set("at", Number(box.value)));
  const freeze = press("Update axes", () => model.send({ press: "freeze" }));
  const map = press("Compute UMAP", () => model.send({ press: "map" }));
  press("Isolate two classes", () => model.send({ press: "isolate" }));
  press("Clear selection", () => model.send({ classes: [] }));
  const label = document.createElement("label");
  const smooth = document.createElement("input");
  smooth.type = "checkbox";
  smooth.addEventListener("change", () => set("smooth", smooth.checked));
  label.append(smooth, " Interpolate frames");
  const note = document.createElement("span");
  note.setAttribute("role", "status");
  row.append(label, note);

  const options = (box, entries, value) => {
    box.replaceChildren(...entries.map(([name, title]) => new Option(title, name, false, String(name) === String(value))));
  };
  const fill = () => {
    const shown = model.get("projection");
    const classes = model.get("ids").map((id, j) => [id, model.get("titles")[j] ?? `class ${id}`]);
    options(projection, model.get("offered"), shown);
    pair.forEach((box, j) => options(box, classes.filter(([id]) => id !== model.get("pair")[1 - j]), model.get("pair")[j]));
    options(at, classes, model.get("at"));
    projection.hidden = model.get("offered").length < 2;
    pair.forEach((box) => (box.hidden = shown !== "plane"));
    at.hidden = shown !== "tangent";
    freeze.hidden = shown !== "pca" && shown !== "tangent";
    map.hidden = shown !== "umap";
    map.disabled = model.get("note").startsWith("computing");
    smooth.checked = model.get("smooth");
    note.textContent = model.get("note");
  };
  const traits = "change:projection change:pair change:at change:offered change:ids change:titles change:smooth change:note";
  model.on(traits, fill);
  fill();
  return { row, close: () => model.off(traits, fill) };
}
