"""MarginPanel in JupyterLab: layout, keyboard, themes."""

import re

import pytest
from panels.helpers import set_theme

from workbench.margins import ReCurricularFace

pytestmark = pytest.mark.browser
SHOW = "from workbench.panels.margin import MarginPanel\npanel = MarginPanel('recurricularface')\npanel"
BOXES = ".jp-OutputArea-output, .workbench-panel .widget-box, .workbench-panel .widget-html-content"
CUT_OFF = """boxes => [...document.querySelectorAll(boxes)]
    .filter(e => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
    .map(e => `${e.className}: ${e.scrollWidth} in ${e.clientWidth}, ${e.scrollHeight} in ${e.clientHeight}`)"""
FITS = """() => document.querySelector(".workbench-view .main-svg").getBoundingClientRect().width
    === document.querySelector(".workbench-view").clientWidth"""
T = ".scatterlayer path.js-line[style*='stroke-width: 2.5px']"


def test_margin_panel_in_jupyterlab(open_notebook, artefacts):
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # for a busy machine
    page = open_notebook([SHOW])
    panel = page.locator(".workbench-panel")
    sentence, curve = panel.get_by_role("status"), panel.locator(T).first
    expect(sentence).to_contain_text("31.9° (0.557 rad), 6.3° wider than the ideal 25.7°")
    typeset = panel.locator(".workbench-equations mjx-container")
    expect(typeset).to_have_count(len(ReCurricularFace.latex))
    page.wait_for_function(FITS)
    assert page.evaluate(CUT_OFF, BOXES) == []  # nothing clipped, no scroll bars

    # Keyboard only: the slider has an accessible name and changes the curve, the number box and the sentence.
    before = curve.get_attribute("d")
    slider = panel.get_by_role("slider", name=re.compile("^m margin added to the target angle"))
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("spinbutton", name=re.compile("^m margin"))).to_have_value("0.6")
    expect(sentence).to_contain_text("Before: 31.9°")
    expect(curve).not_to_have_attribute("d", before)
    page.screenshot(path=artefacts / "panel_light.png")

    ink = panel.locator(".xtitle").evaluate("e => getComputedStyle(e).fill")
    set_theme(page, "Dark")
    expect(panel.locator(".xtitle")).not_to_have_css("fill", ink)
    page.screenshot(path=artefacts / "panel_dark.png")

    panel.get_by_role("button", name="Reset", exact=True).press("Enter")
    expect(curve).to_have_attribute("d", before)
    panel.get_by_label("Method").select_option(label="NPCFace")
    expect(panel.get_by_role("slider", name=re.compile("^m₁"))).to_be_visible()
