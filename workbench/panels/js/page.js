// Browser side of a panel: reports a dark theme, fits the figure to its column, sets accessible names of the controls.

function name(row) {
  const label = row.querySelector(".widget-html").textContent.trim();
  for (const control of row.querySelectorAll(".noUi-handle, input, select")) {
    if (control.getAttribute("aria-label") !== label) control.setAttribute("aria-label", label);
  }
}

function render({ model, el }) {
  el.style.display = "none";
  const report = () => {
    model.set("dark", document.body.dataset.jpThemeLight === "false");
    model.save_changes();
  };
  const theme = new MutationObserver(report);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  report();

  let rows = () => {};
  const controls = new MutationObserver(() => rows());
  const size = new ResizeObserver(() => window.dispatchEvent(new Event("resize"))); // plotly observes the window only
  let frame;
  const attach = () => {
    const panel = el.closest(".workbench-panel");
    if (!panel) {
      frame = requestAnimationFrame(attach); // not in the page yet
      return;
    }
    const left = panel.querySelector(".workbench-controls");
    rows = () => left.querySelectorAll(".workbench-row").forEach(name);
    rows();
    controls.observe(left, { childList: true, subtree: true });
    size.observe(panel.querySelector(".workbench-view"));
  };
  attach();
  return () => {
    cancelAnimationFrame(frame);
    theme.disconnect();
    controls.disconnect();
    size.disconnect();
  };
}

export default { render };
