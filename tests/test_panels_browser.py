import pytest


@pytest.mark.browser
def test_it(open_notebook):
    import time

    t = time.time()
    page = open_notebook(
        ["from workbench.panels.margin import MarginPanel\npanel = MarginPanel('recurricularface')\npanel"]
    )
    print("ran", time.time() - t)
    page.wait_for_selector(".workbench-panel .scatterlayer path.js-line", timeout=30000)
    print("shown", time.time() - t)
    page.wait_for_timeout(1500)
    page.screenshot(path="/tmp/panel_light.png")
    print(page.evaluate("""() => ['.workbench-panel','.workbench-controls','.workbench-view','.workbench-view .js-plotly-plot','.workbench-view .main-svg','.workbench-view > *'].map(s => { const r=document.querySelector(s).getBoundingClientRect(); return [s,r.x,r.width,r.height]})"""))
    page.evaluate("void window.jupyterapp.commands.execute('apputils:change-theme',{theme:'JupyterLab Dark'})")
    page.wait_for_timeout(3500)
    page.screenshot(path="/tmp/panel_dark.png")
