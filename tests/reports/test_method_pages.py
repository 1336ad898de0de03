"""The pages of the methods: complete, not stale, and each says what differs between paper and code."""

import re
from pathlib import Path

import pytest

from workbench.methods import METHODS
from workbench.methods.method import PEERS, source
from workbench.reports import method_pages

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "methods"
NUMBER = re.compile(r"random directions .*?: \*\*(-?[\d.]+)\*\*")


@pytest.mark.parametrize("key", METHODS)
def test_a_page_is_what_the_generator_makes_now(key):
    made, kept = method_pages.page(METHODS[key]), (FOLDER / f"{key}.md").read_text(encoding="utf-8")
    loss = [float(NUMBER.search(text)[1]) for text in (made, kept)]
    assert loss[0] == pytest.approx(loss[1], abs=0.11)  # a last digit may round the other way on another computer
    assert NUMBER.sub("", made) == NUMBER.sub("", kept), "stale: run `workbench methods --pages docs/methods`"


@pytest.mark.parametrize("key", METHODS)
def test_a_page_has_everything_and_every_link_leads_somewhere(key):
    text, method = (FOLDER / f"{key}.md").read_text(encoding="utf-8"), METHODS[key]
    for wanted in ("## Parameters", "## Presets", "**Gradient:**", "**Reduces to:**", "**Follows / differs:**"):
        assert wanted in text, wanted
    assert all(f"`{name}`" in text for name in (*method.parameters(), *method.presets))
    links = re.findall(r'(?:src|srcset)="([^"]+)"|\]\(([^)]+)\)', text)
    assert all((FOLDER / (a or b)).is_file() for a, b in links)
    assert len(links) == 1 + 4 * method.has_logits


def test_the_list_of_pages_is_not_stale():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == method_pages.index()


def test_every_preset_of_a_peer_has_a_source():
    for method in METHODS.values():
        for preset in method.presets:
            assert source(preset)
    assert source("facexzoo_config") == "FaceX-Zoo, its shipped configuration"
    assert source("elasticface_repo_config_plus").startswith(PEERS["elasticface_repo"])
    assert source("unmasked") == "a variant of the paper's"
