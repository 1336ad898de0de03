// The keys of the lab: pressed anywhere in it but in a field that needs them, they are told to Python by their name.

// Which command a key event means, or null: letters as they are, unless a field is being typed in.
export function command(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const target = event.target;
  const name = target && target.tagName;
  const typed = name === "TEXTAREA" || name === "SELECT" || (name === "INPUT" && target.type !== "range") || (target && target.isContentEditable);
  if (typed) return null;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "Space" && (name === "BUTTON" || name === "SUMMARY")) return null; // it presses the button
  return keys.includes(key) ? key : null;
}

function render({ model, el }) {
  el.style.display = "none";
  let lab = null;
  let frame = 0;
  const pressed = (event) => {
    const key = command(event, model.get("key_names"));
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ key });
  };
  // JupyterLab takes keys for its own from every focused element that does not say otherwise itself.
  const own = (event) => (event.target.dataset.lmSuppressShortcuts = "true");
  const attach = () => {
    lab = el.closest(".workbench-lab");
    if (!lab) {
      frame = requestAnimationFrame(attach); // not in the page yet
      return;
    }
    lab.addEventListener("focusin", own);
    lab.addEventListener("keydown", pressed);
  };
  attach();
  return () => {
    cancelAnimationFrame(frame);
    if (!lab) return;
    lab.removeEventListener("focusin", own);
    lab.removeEventListener("keydown", pressed);
  };
}

export default { render };
