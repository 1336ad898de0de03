"""The report, written from runs that were made up in a second: complete, safe, honest about what is missing."""

import json
import math
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from workbench.cli import main as cli
from workbench.core.errors import InputError
from workbench.core.record import Run, Snapshot, Step
from workbench.evaluation.verification import verify
from workbench.methods import METHODS
from workbench.reports import words, write_report
from workbench.reports.equations import equation
from workbench.reports.evidence import gather
from workbench.reports.pages import Cell
from workbench.reports.tables import mark_best, percent, train_command
from workbench.training.config import Config
from workbench.training.events import Event

CLASSES, DIM, IMAGES = 24, 16, 240
VERSIONS = {"workbench": "0", "torch": "2", "device": "cpu: 2 CPU threads"}


def fake_run(path, config=None, measured=True, snapshots=(1, 30, 60, 120), finished=True, source="heads"):
    """A run's folder as training and evaluation leave it, from a few random directions."""
    config = config or Config(steps=120)
    rng = np.random.default_rng(config.seed)
    schedule = [event.to_json() for event in config.schedule()]
    data = {"source": source, "identities": 30, "images": 300, "size": 56, "notes": ["2 images were skipped"]}
    info = {"config": config.to_json(), "versions": VERSIONS, "schedule": schedule, "data": data}
    run = Run.create(path, info, {"train": list(range(24)), "test": list(range(24, 30))})
    for event in schedule:
        run.add_event(event | {"old": 0.0})
    for step in range(max(snapshots, default=0)):
        run.add_step(Step(step, 8 * math.exp(-step / 60) + rng.normal() / 9, 0.1, 0.05))
    W, y = rng.normal(size=(CLASSES, DIM)), np.arange(IMAGES) % CLASSES
    noise = rng.normal(size=(IMAGES, DIM))
    states = METHODS[config.method].margin.states
    for step in snapshots:
        parameters = config.settings() | {"lr": 0.1}
        state = {"t": 0.4, "E": 1.396, "step": float(step)}
        x = W[y] * step / 100 + noise
        run.add_snapshot(Snapshot(step, x, y, W, parameters, {name: state[name] for name in states}))
    if measured:
        measure(run, rng)
    if finished:
        run.finish()
    return Run.open(path)


def measure(run, rng, impostor=2000):
    same = np.arange(400 + impostor) < 400
    result = verify(np.where(same, 0.5, 0.1) + rng.normal(size=len(same)) / 5, same, np.arange(len(same)) % 10)
    test = {"identities": 6, "images": 60, "genuine": 400, "impostor": impostor}
    results = {
        "verification": result.summary(),
        "identification": {"rank-1": 0.875, "rank-5": 0.95},
        "theta": 1.396,
        "seconds_per_step": 0.05,
        "test": test,
    }
    roc = {"far": result.roc.far, "tar": result.roc.tar, "thresholds": result.roc.thresholds, "cmc": np.ones(6)}
    run.save_results(results, roc)


def fake_runs(folder, methods=("norm_softmax", "arcface", "curricularface", "npcface", "recurricularface")):
    return [fake_run(folder / m, Config(method=m, steps=120)) for m in methods]


def text_of(page):
    """What a reader sees: the text without scripts, styles and tags."""

    class Reader(HTMLParser):
        skipped, said = 0, ""

        def handle_starttag(self, tag, attributes):
            self.skipped += tag in ("script", "style", "noscript")

        def handle_endtag(self, tag):
            self.skipped -= tag in ("script", "style", "noscript")

        def handle_data(self, data):
            self.said += "" if self.skipped else data

    reader = Reader()
    reader.feed(re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.S))  # plotly.js, for speed
    return " ".join(reader.said.split())


def figures_of(page):
    return json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)[1])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report(fake_runs(folder), folder / "report.html", "Five losses").read_text(encoding="utf-8")


def test_the_page_is_complete_and_small_and_loads_nothing(page):
    assert len(page.encode()) < 8e6
    assert page.count("* plotly.js v") == 1
    assert "default-src 'none'" in page
    outside = page.replace(re.search(r"<script>/\*\*.*?</script>", page, re.S)[0], "")
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!#)|url\(|@import|https?://(?!www\.w3\.org/1998/Math)", outside)
    assert not re.search(r"\$\w", re.sub(r"<script.*?</script>", "", page, flags=re.S))  # a part nobody filled in


def test_figures_are_numbered_in_the_order_of_the_page(page):
    numbers = [int(n) for n in re.findall(r'<div class="plot" id="figure-(\d+)"', page)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(figures_of(page)["figures"]) == len(numbers) == 5 + 1 + 2 + 5 + 1 + 2 + 1
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", page)] == numbers


def test_the_templates_are_in_the_page_once(page):
    drawn = figures_of(page)
    assert drawn["templates"].keys() == {"light", "dark"}
    for figure in drawn["figures"]:
        assert "template" not in figure["light"]["layout"]
        assert figure["light"]["data"]


def test_every_loss_is_told_with_values_of_run_and_preset(page):
    said = text_of(page)
    for key in ("norm_softmax", "arcface", "curricularface", "npcface", "recurricularface"):
        method = METHODS[key]
        assert method.title in said
        assert method.citation in said
        assert method.margin.__doc__.strip().splitlines()[0] in said
        for p in method.parameters().values():
            assert p.meaning in said
    assert "0.3 rad (17.2°)" in said  # ArcFace, weakened by the recipe
    assert "0.5 rad (28.6°)" in said  # as the paper has it
    assert "Warm-up from step 0 to 40: m₀ 0 → 0.24, m₁ 0 → 0.12, t 1 → 1.06, α 0 → 0.15." in said


def test_the_page_says_what_was_sampled_and_how_far_to_trust_it(page):
    said = text_of(page)
    assert "the same 240 of 240 training images (24 identities) at each of 4 snapshots" in said
    assert (
        "Measured on 60 images of 6 identities that no run was trained on: all 400 genuine and 2,000 impostor" in said
    )
    assert "every row is one training from one seed" in said
    assert "2 pairs" in said  # FAR 0.001 of 2,000
    assert "Losses of different margins are not comparable" in said
    assert "Recipe “small”: for some hundred identities" in said
    assert "2 images were skipped" in said


def test_the_table_shows_the_results(page, tmp_path):
    rows = re.findall(r"<tr>(.*?)</tr>", re.search(r'<section id="results">.*?</section>', page, re.S)[0], re.S)
    arcface = next(text_of(row) for row in rows if "ArcFace" in row)
    measured = fake_run(tmp_path / "again", Config(method="arcface", steps=120)).results["verification"]
    assert percent(measured["eer"]) in arcface
    assert percent(measured["tar@0.01"]) in arcface
    assert "87.5 %" in arcface
    assert "31.4° (0.548 rad)" in arcface  # (80° − 0.3 rad) / 2
    assert "needs 10,000 impostor pairs" in arcface  # at a FAR of 0.001, of 2,000 pairs


@pytest.mark.parametrize("key", METHODS)
def test_every_equation_is_well_formed_mathml(key):
    for line in METHODS[key].margin.latex:
        math_element = ElementTree.fromstring(equation(line))
        assert math_element.tag.endswith("math")
        assert "\\" not in "".join(math_element.itertext())


def test_words_in_equations_stay_whole_and_functions_stand_apart():
    assert "<mtext>where</mtext>" in equation(r"N = \cos\theta_j \quad\mathrm{where}\; M_{ij} = 0")
    assert "<mi>cos</mi><mspace" in equation(r"\cos\theta")
    assert "<mi>cos</mi><mo" in equation(r"\cos(\theta)")


def test_names_cannot_write_into_the_page(tmp_path):
    evil = "</script><script>alert(1)</script><b>&amp;"
    runs = [fake_run(tmp_path / name, source=evil) for name in ("<!--<script>", "other")]
    runs[0].finish(f"failed: {evil}")
    page = write_report(runs, tmp_path / "report.html", title=evil, intro=evil).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<!--<script>" not in page
    assert text_of(page).count(evil) >= 5
    assert any("<!--<script>" in str(figure) for figure in figures_of(page)["figures"])


def test_an_interrupted_run_is_drawn_with_what_it_has(tmp_path):
    cut = fake_run(tmp_path / "cut", Config(method="npcface", steps=120), measured=False, finished=False)
    whole = fake_run(tmp_path / "whole", Config(method="arcface", steps=120))
    page = write_report([whole, cut], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "NPCFace: the training is not finished (interrupted)." in text_of(page)
    assert "has no results yet" in text_of(page)
    assert len(figures_of(page)["figures"]) == 2 + 1 + 2 + 2 + 1 + 2 + 1


def test_a_run_stopped_before_its_first_snapshot_still_makes_a_page(tmp_path):
    run = fake_run(tmp_path / "run", measured=False, snapshots=(), finished=False)
    page = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    said = text_of(page)
    assert "there is no snapshot" in said
    assert "No run left a step" in said
    assert "No run has been measured yet" in said
    assert "T and N of NPCFace before training" in said
    assert len(figures_of(page)["figures"]) == 1


def test_a_damaged_snapshot_is_named_and_the_others_drawn(tmp_path):
    run = fake_run(tmp_path / "run")
    (run.path / "snapshots" / "0000030.npz").write_bytes(b"no zip")
    [one] = gather([run])
    assert [m.step for m in one.moments] == [1, 60, 120]
    assert len(one.missing) == 1
    assert "0000030.npz is damaged" in one.missing[0]


def test_runs_of_one_method_are_told_apart_and_their_differences_said(tmp_path):
    runs = [
        fake_run(tmp_path / "a", Config(steps=120)),
        fake_run(tmp_path / "b", Config(steps=120, seed=1, parameters={"m0": 0.1})),
    ]
    first, second = gather(runs)
    assert (first.style.label, second.style.label) == ("NPCFace (a)", "NPCFace (b)")
    assert first.style.dash != second.style.dash
    said = text_of(write_report(runs, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "The runs differ in more than the loss" in said
    assert "m0 = 0.1" in said


def test_a_change_by_hand_is_marked_beside_the_warm_up(tmp_path):
    run = fake_run(tmp_path / "run")
    run.add_event(Event(80, "m0", 0.5, 0.24).to_json())
    page = write_report([Run.open(run.path)], tmp_path / "report.html").read_text(encoding="utf-8")
    loss = figures_of(page)["figures"][2]["light"]["layout"]["shapes"]
    assert [(s["x0"], s["x1"]) for s in loss] == [(0, 40), (80, 80)]
    assert "NPCFace: m₀ 0.24 → 0.5" in loss[1]["label"]["text"]


def test_the_printed_command_trains_the_same_run(tmp_path, monkeypatch):
    config = Config(
        method="recurricularface",
        preset="closed",
        recipe="preset",
        parameters={"m": 0.4, "t_clip": False, "product": "I"},
        data="folder:a b's",
        size=48,
        batch=32,
        weight_decay=1e-4,
        seed=3,
    )
    [one] = gather([fake_run(tmp_path / "run", replace(config, steps=120))])
    heard = []
    monkeypatch.setattr("workbench.training.run.train", lambda config, out, *rest: heard.append((config, str(out))))
    done = CliRunner().invoke(cli.app, shlex.split(train_command(one, "runs/x").replace("\\\n", ""))[1:])
    assert done.exit_code == 0, done.output
    assert heard == [(replace(config, steps=120), "runs/x")]


@pytest.mark.parametrize(
    ("values", "largest", "bold"),
    [
        ([0.1, 0.3, 0.2], True, [1]),
        ([0.1, 0.3, 0.2], False, [0]),
        ([0.3, None, 0.3], True, [0, 2]),
        ([0.3, None], True, []),
        ([None, None], True, []),
        ([math.nan, 0.2, 0.3], False, [1]),
    ],
)
def test_the_best_of_a_column_is_marked(values, largest, bold):
    cells = mark_best(values, percent, largest)
    assert [i for i, cell in enumerate(cells) if isinstance(cell, Cell) and cell.kind == "best"] == bold
    assert all(("–" in cell) == (v is None or math.isnan(v)) for cell, v in zip(cells, values, strict=True))


@pytest.mark.parametrize(
    ("slope", "says"), [(1, "negative as well"), (-1, "positive, so a sample far from its own center is also far from")]
)
def test_the_sign_of_the_correlation_is_said_as_measured(tmp_path, slope, says):
    run = fake_run(tmp_path / "run", snapshots=())
    own = np.linspace(0.3, 0.1, 40)  # cosines, all below the other center's
    other = np.sqrt(np.linspace(0.5, 0.6, 40)[::slope])
    x = np.column_stack([own, other, np.sqrt(1 - own**2 - other**2)])
    W = np.diag([1.0, 1.0, -1.0])
    run.add_snapshot(Snapshot(5, x, np.zeros(40, dtype=int), W, Config(steps=120).settings(), {}))
    assert says in words.correlation(gather([run]))


def test_what_cannot_be_reported_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match="at least one run"):
        write_report([], tmp_path / "report.html")
    run = fake_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"folder .+ does not exist"):
        write_report([run], tmp_path / "nowhere" / "report.html")
    run.info["config"]["method"] = "npcfase"
    with pytest.raises(InputError, match="did you mean 'npcface'"):
        write_report([run], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
