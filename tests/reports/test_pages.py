"""All HTML pages: one base template, every value escaped, a mark for every method."""

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from compare.made import comparison_of
from reports.test_report import fake_run
from trainings import session_config, session_images

from workbench.compare.variants import Variant
from workbench.mining.audit import mine
from workbench.mining.dataset import read
from workbench.panels import export
from workbench.reports import comparison, mining, pages, write_report
from workbench.training.config import Config
from workbench.training.live.session import LiveSession
from workbench.views.theme import METHOD_STYLES

EVIL = "<script>alert(1)</script>"
SCRIPTS = {"report.html": 3, "compare.html": 3, "index.html": 2, "lab.html": 2}  # data, plotly for figures, our own
TEMPLATES = Path(pages.__file__).with_name("templates")


class Tags(HTMLParser):
    """The start tags of a page, and its text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.hidden = [], "", 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self.hidden else data


def run_page(folder):
    runs = [fake_run(folder / name / "run", Config(steps=120), source=EVIL) for name in ("a", "b")]
    for run in runs:
        run.path = run.path.rename(run.path.with_name(EVIL.replace("/", "|")))
        run.finish(f"failed: {EVIL}")
    return write_report(runs, folder / "report.html", title=EVIL, intro=EVIL)


def comparison_page(folder):
    variants = [Variant(f"{EVIL} {key}", key) for key in ("arcface", "npcface")]
    found = comparison_of([[0.1, 0.2, 0.3], [0.2, 0.3, np.nan]], listed=variants, missing={(1, 2): EVIL})
    found.info["common"]["data"] = EVIL
    return comparison.write_report(found, folder / "compare.html", title=EVIL)


def mining_page(folder):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 5)
    x = rng.normal(size=(6, 8))[y] + rng.normal(size=(30, 8)) / 2
    names = np.array([f"{EVIL} {c}" for c in range(6)])
    images = rng.integers(0, 255, (30, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "e.npz", embeddings=x.astype(np.float32), labels=names[y], images=images)
    collection = read(folder / "e.npz")
    return mining.write_report(collection, mine(collection, 3), folder / "index.html", EVIL)


def lab_page(folder):
    session = LiveSession(session_config(dim=8), images=session_images(), name="evil")
    try:
        session.run(1, block=True)
        session.snapshot(EVIL)
        while (seen := session.frame()) is None:
            time.sleep(0.01)
        path = folder / "lab.html"
        path.write_text(export.render_page(session, seen, []), encoding="utf-8")
    finally:
        session.stop()
    return path


PAGES = (run_page, comparison_page, mining_page, lab_page)


@pytest.mark.parametrize("write", PAGES)
def test_a_script_in_a_name_is_text_in_every_page(write, tmp_path):
    path = write(tmp_path)
    page = path.read_text(encoding="utf-8")
    parsed = Tags(re.sub(r"<script>/\*\*.*?</script>", "<script></script>", page, flags=re.S))  # plotly.js, for speed
    assert "alert(1)" in parsed.text
    assert "<script>alert" not in page
    assert sum(tag == "script" for tag, _ in parsed.tags) == SCRIPTS[path.name]


@pytest.mark.parametrize("write", PAGES)
def test_every_page_has_the_theme_switch_and_the_policy_of_the_base(write, tmp_path):
    page = write(tmp_path).read_text(encoding="utf-8")
    assert page.count('id="scheme"') == page.count("Content-Security-Policy") == 1
    assert "default-src 'none'" in page


def test_only_the_base_has_a_head_and_no_report_writes_html_by_hand():
    assert [p.name for p in TEMPLATES.glob("*.html") if "<head>" in p.read_text(encoding="utf-8")] == ["base.html"]
    by_hand = re.compile(r"from string import Template|import escape|</?(?:td|tr|table|section|p|li|span|div)\b")
    modules = [*TEMPLATES.parent.glob("*.py"), Path(export.__file__)]
    found = [p.name for p in modules if by_hand.search(p.read_text(encoding="utf-8"))]
    assert found == ["method_pages.py"]  # Markdown


def test_every_mark_of_a_method_has_a_character():
    assert {marker for _, marker in METHOD_STYLES.values()} <= set(pages.MARKS)


def test_a_missing_value_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError, match="search"):
        pages.render("mine.html", title="", intro="", contents=())
