"""The report in a real Chromium: it draws every figure in both looks, without a network and without an error."""

import re

import pytest
from reports.test_report import fake_runs

from workbench.reports import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report(fake_runs(folder), folder / "report.html", "Five losses")


@pytest.fixture
def opened(chromium, report):
    """opened(scheme, width) -> the page, all its figures drawn. Errors, warnings and requests to a network fail."""
    context, wrong = chromium.new_context(), []

    def page_of(scheme, width=1280):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
        page.goto(report.as_uri())
        drawn(page, scheme)
        return page

    yield page_of
    context.close()
    assert not wrong


def drawn(page, scheme):
    """Wait until every figure has been drawn in a look."""
    page.wait_for_selector(f"html[data-drawn='{scheme}']")


def colors(page):
    """Red, green, blue of the page's background and ink, of its quiet text, and of the text in the first figure."""
    places = (("body", "backgroundColor"), ("body", "color"), ("figcaption", "color"), (".plot .xtick text", "fill"))
    style = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
    return [tuple(map(int, re.findall(r"\d+", page.evaluate(style, place))[:3])) for place in places]


def contrast(one, other):
    """Contrast ratio of two colors, as WCAG 2 defines it."""

    def luminance(color):
        parts = [v / 255 for v in color]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_every_text_readable(opened, scheme):
    page = opened(scheme)
    plots = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => [p.querySelectorAll('svg.main-svg').length,"
        " p._fullData.length, p.querySelectorAll('.trace path, .trace .point').length])"
    )
    assert len(plots) == 17
    assert all(svgs and traces and shapes for svgs, traces, shapes in plots), plots
    background, *inks = colors(page)
    assert (sum(background) < 200) == (scheme == "dark")
    assert all(contrast(background, ink) >= 4.5 for ink in inks)


def test_the_look_is_changed_by_keyboard_and_stays(opened):
    page = opened("light")
    before = colors(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Dark theme"
    page.keyboard.press("Enter")
    drawn(page, "dark")
    after = colors(page)
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert page.evaluate("document.activeElement.textContent") == "Light theme"
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")  # the system's change does not undo the reader's choice
    assert colors(page) == after
    page.keyboard.press("Space")
    drawn(page, "light")
    assert colors(page) == before


def test_the_look_follows_the_system_until_it_is_chosen(opened):
    page = opened("light")
    page.emulate_media(color_scheme="dark")
    drawn(page, "dark")
    assert sum(colors(page)[0]) < 200


def test_a_phone_scrolls_tables_not_the_page(opened):
    page = opened("light", width=420)
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    too_wide = (
        "[...document.querySelectorAll('figure, p, h2, .facts')].filter(e => e.getBoundingClientRect().right > 420)"
    )
    assert page.evaluate(f"{too_wide}.length") == 0


def test_paper_is_white_even_from_the_dark_look(opened):
    page = opened("dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    drawn(page, "light")
    assert page.evaluate("[...document.querySelectorAll('.main-svg')].every(s => s.clientWidth <= 640)")
    background, ink, *_ = colors(page)
    assert background == (255, 255, 255)
    assert contrast(background, ink) >= 4.5
    assert not page.is_visible("nav")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen", color_scheme="dark")
    drawn(page, "dark")
