// Keyboard shortcuts of the lab: a key pressed anywhere in it, except in a field that needs it, is sent to Python.

// The command key of a key event, or null for other keys and while the user is typing.
export function command(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const target = event.target;
  const name = target && target.tagName;
  const typed = name === "TEXTAREA" || name === "SELECT" || (name === "INPUT" && target.type !== "range") || (target && target.isContentEditable);
  if (typed) return null;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "Space" && (name === "BUTTON" || name === "SUMMARY")) return null; // activates the button
  return keys.includes(key) ? key : null;
}

function render({ model, el }) {
  el.style.display = "none";
  let lab = null;
  let frame = 0;
  const onKey = (event) => {
    const key = command(event, model.get("key_names"));
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ key });
  };
  // JupyterLab handles keys of every focused element that does not suppress its shortcuts.
  const own = (event) => (event.target.dataset.lmSuppressShortcuts = "true");
  const attach = () => {
    lab = el.closest(".workbench-lab");
    if (!lab) {
      frame = requestAnimationFrame(attach); // not in the page yet
      return;
    }
    lab.addEventListener("focusin", own);
    lab.addEventListener("keydown", onKey);
  };
  attach();
  return () => {
    cancelAnimationFrame(frame);
    if (!lab) return;
    lab.removeEventListener("focusin", own);
    lab.removeEventListener("keydown", onKey);
  };
}

export default { render };
