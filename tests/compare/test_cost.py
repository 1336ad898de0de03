"""`workbench bench heads` and `scaling`: the ways compute one loss, what is measured is kept, what is not says why."""

import csv
import sys

import pytest

from workbench.cli import main as cli
from workbench.cli.bench import parse_classes
from workbench.compare.cost import classifiers as heads_module
from workbench.compare.cost import scaling as scaling_module
from workbench.compare.cost.classifiers import measure_classifiers
from workbench.compare.cost.figures import heads_figure, scaling_figure
from workbench.compare.cost.results import (
    COLUMNS,
    Cost,
    count_calls,
    find_cost,
    peak_bytes,
    time_interleaved,
    write_costs,
)
from workbench.compare.cost.scaling import CURVES, scaling
from workbench.compare.cost.tables import HEADS, SCALING, heads_rows, scaling_rows
from workbench.compare.cost.ways import (
    EAGER,
    NOT_INSTALLED,
    PML,
    Inputs,
    bf16_error,
    build_objective,
    eager_loss,
    objective_run,
    pml_run,
    ways,
)
from workbench.core.errors import InputError


def cost(way, classes=100, seconds=(1.0, 2.0, 3.0), size=2**20, **more):
    return Cost(way, classes, size, seconds=list(seconds), **more)


# The ways


@pytest.mark.parametrize("method", EAGER)
def test_what_a_person_writes_is_the_same_loss(method):
    batch = Inputs.random(50, 16, 8)
    objective = build_objective(method, batch)
    written = eager_loss(method, batch.x, batch.W, batch.y)
    assert objective.step(batch.x, batch.y).total.item() == pytest.approx(written.item(), rel=1e-5)


@pytest.mark.parametrize("method", PML)
def test_the_loss_of_pytorch_metric_learning_has_the_same_gradient(method):
    pytest.importorskip("pytorch_metric_learning")
    batch = Inputs.random(50, 16, 8)
    pml_run(method, batch)()
    theirs = batch.learned[-1].grad.T
    batch.clear()
    assert batch.gradients == 0
    objective_run(build_objective(method, batch), batch, "streaming")()
    assert (batch.W.grad - theirs).norm() < 1e-3 * theirs.norm()
    assert batch.gradients == (50 + 16) * 8 * 4


def test_a_loss_with_several_centers_a_class_brings_its_own():
    batch = Inputs.random(20, 4, 8)
    objective_run(build_objective("subcenter_arcface", batch), batch, "dense")()
    assert batch.W.grad is None
    assert batch.gradients == (60 + 4) * 8 * 4


def test_bfloat16_states_its_error():
    batch = Inputs.random(200, 16, 32)
    said = bf16_error(build_objective("npcface", batch), batch)
    errors = [float(part.split()[-1]) for part in said.split(": ")[1].split(", ")]
    assert [part.split()[0] for part in said.split(": ")[1].split(", ")] == ["loss", "dx", "dW"]
    assert all(0 < error < 0.1 for error in errors)


# Measuring


def test_rounds_are_interleaved_and_only_the_run_is_timed():
    log, costs = [], [Cost("a", 2), Cost("b", 2)]
    runs = [(c, lambda c=c: log.append(f"before {c.way}"), lambda c=c: log.append(c.way)) for c in costs]
    time_interleaved(runs, 2, lambda what: None)
    assert log == ["before a", "a", "before b", "b"] * 2
    assert [len(c.seconds) for c in costs] == [2, 2]


def test_the_peak_ignores_what_was_there_before():
    assert peak_bytes([(1, 10), (9, -100), (2, 5), (1, -10), (3, 4)]) == 15
    assert peak_bytes([]) == 0


def test_heads_measures_every_way_and_counts_its_steps():
    costs, said = [], []
    measure_classifiers(
        [40, 60], 8, 8, ["arcface", "npcface"], 2, costs, lambda done, total, what: said.append((done, total))
    )
    expected = [way.name for way in ways(Inputs.random(40, 8, 8), ["arcface", "npcface"])]
    assert [c.way for c in costs] == expected * 2
    assert "npcface streaming bf16" in expected
    assert [c.classes for c in costs] == [40] * len(expected) + [60] * len(expected)
    installed = [c for c in costs if c.note != NOT_INSTALLED]
    assert all(len(c.seconds) == 2 and c.bytes is not None for c in installed)
    assert [done for done, _ in said] == list(range(len(said)))
    assert {total for _, total in said} == {2 * len(expected) * 3}
    above = {c.way: c.bytes for c in costs if c.classes == 60}
    assert above["arcface eager"] > above["plain linear + CE"] >= 8 * 60 * 4


def test_what_is_not_installed_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    costs = []
    measure_classifiers([30], 4, 4, ["cosface"], 1, costs)
    row = next(c for c in costs if c.way == "cosface pml")
    assert (row.note, row.seconds, row.bytes) == (NOT_INSTALLED, [], None)
    assert heads_rows([row])[0] == ["cosface pml", "", "", "", "", "", "", "", NOT_INSTALLED]


@pytest.mark.slow
def test_what_does_not_fit_is_left_out_and_the_estimate_is_near_the_peak(monkeypatch):
    costs = []
    measure_classifiers([40_000], 64, 32, ["arcface"], 1, costs)
    gradients = (40_000 + 64) * 32 * 4
    for c in costs:
        if c.way in ("arcface eager", "arcface dense", "plain linear + CE"):
            assert c.estimated == pytest.approx(c.bytes + gradients, rel=0.1)
    monkeypatch.setattr(heads_module, "free_memory", lambda: 2**20)
    refused = []
    measure_classifiers([40_000], 64, 32, ["arcface"], 1, refused)
    assert all(not c.seconds and "GiB are free" in c.note for c in refused if c.note != NOT_INSTALLED)


def test_an_interruption_leaves_what_was_measured():
    costs = []

    def stop(done, total, what):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_classifiers([30], 4, 4, ["arcface"], 3, costs, stop)
    assert [len(c.seconds) for c in costs if c.note != NOT_INSTALLED][:2] == [1, 1]
    assert len(heads_rows(costs)) == len(costs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"methods": ["arcfase"]}, "did you mean 'arcface'"),
        ({"methods": ["triplet"]}, "has no classes to measure"),
        ({"classes": [1]}, "--classes 1: at least 2"),
        ({"rounds": 0}, "--rounds 0: at least 1"),
    ],
)
def test_bad_input_of_heads_is_one_line(change, says):
    with pytest.raises(InputError, match=says):
        measure_classifiers(
            **{"classes": [30], "batch": 4, "dim": 4, "methods": ["arcface"], "rounds": 1, "costs": []} | change
        )


@pytest.mark.slow
def test_scaling_measures_every_curve_and_leaves_out_what_does_not_fit(monkeypatch):
    costs = []
    scaling([100, 200], 8, 8, "arcface", 0.1, 50, 4, 2, costs)
    assert [(c.way, c.classes) for c in costs] == [(curve, C) for C in (100, 200) for curve in CURVES]
    assert all(len(c.seconds) == 2 and c.bytes > 0 for c in costs)
    small = next(c.estimated for c in costs if c.way == "queued" and c.classes == 200)
    monkeypatch.setattr(scaling_module, "free_memory", lambda: int(1.3 * small))
    part = []
    scaling([200], 8, 8, "arcface", 0.1, 50, 4, 1, part)
    assert [bool(c.seconds) for c in part] == [c.estimated <= 1.3 * small * 0.8 for c in part]
    assert any(c.note.startswith("does not fit: needs") for c in part)


def test_progress_counts_by_itself():
    said = []
    advance = count_calls(lambda *given: said.append(given), 2)
    advance("a")
    advance("b")
    assert said == [(0, 2, "a"), (1, 2, "b")]


# What comes out


def test_quartiles_and_ratios():
    costs = [cost("plain linear + CE", seconds=(1, 1, 1)), cost("arcface eager", size=4 * 2**20), cost("arcface dense")]
    assert costs[1].quartiles == (1.5, 2.0, 2.5)
    dense = heads_rows(costs)[2]
    assert dict(zip(HEADS, dense, strict=True)) == {
        "way": "arcface dense",
        "median s": "2.0000",
        "quartiles": "1.5000-2.5000",
        "over plain": "2.00",
        "over floor": "",
        "over eager": "1.00",
        "MiB above": "1",
        "of eager's": "0.25",
        "": "",
    }
    assert find_cost(costs, "arcface eager", 7) is None, "never across sizes"
    row = scaling_rows([cost("full, streaming"), cost("queued", seconds=(0.1,))])[1]
    assert dict(zip(SCALING, row, strict=True))["of full, streaming"] == "0.05"


def test_the_csv_has_a_line_for_each_and_gaps_where_nothing_was_measured(tmp_path):
    write_costs(tmp_path / "x.csv", [cost("queued", estimated=7), Cost("full, dense", 9, note="does not fit")])
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["median_s"], rows[0]["rounds"], rows[0]["estimated_bytes"]) == ("2.000000", "3", "7")
    assert (rows[1]["median_s"], rows[1]["bytes"], rows[1]["note"]) == ("", "", "does not fit")


def test_the_figures_draw_what_was_timed():
    costs = [cost("arcface eager"), cost("arcface pml", seconds=(), note=NOT_INSTALLED), cost("npcface streaming", 200)]
    figure = heads_figure(costs, "B = 2")
    assert sum(trace.type == "scatter" for trace in figure.data) == 2
    assert [a.text.split(":")[0] for a in figure.layout.annotations] == ["C = 100", "C = 100", "C = 200", "C = 200"]
    curve = [cost("queued", C, estimated=C) for C in (10, 100)] + [Cost("queued", 1000, estimated=1000)]
    time, guess, memory = (t for t in scaling_figure(curve, "B = 2").data if t.name.startswith("queued"))
    assert (list(time.x), list(memory.x), list(guess.x)) == ([10, 100], [10, 100], [10, 100, 1000])
    assert list(time.y) == [2.0, 2.0]
    assert heads_figure([], "nothing").data == ()


def test_sizes_are_typed_as_people_write_them():
    assert parse_classes("1e5,10000, 300") == [300, 10_000, 100_000]
    for bad in ("", "1e4,x", "2.5", "inf", "nan"):
        with pytest.raises(InputError, match="whole numbers between commas"):
            parse_classes(bad)


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["workbench", "bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


def test_the_command_prints_a_table_and_writes_files(monkeypatch, capsys, tmp_path):
    sizes = ("--classes", "30,40", "--batch", 4, "--dim", 4, "--rounds", 1)
    status, out, _ = command(monkeypatch, capsys, "heads", *sizes, "--methods", "cosface", "--out", tmp_path / "new")
    assert status == 0
    for text in ("C = 30, B = 4, D = 4", "C = 40", "cosface streaming", "plain linear + CE"):
        assert text in out
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["heads.csv", "heads.html"]
    status, _, error = command(monkeypatch, capsys, "heads", *sizes, "--methods", "cosfase")
    assert (status, error.count("\n")) == (2, 1)


def test_the_command_interrupted_keeps_what_there_is(monkeypatch, capsys, tmp_path):
    def measure(*given):
        given[-2].append(cost("arcface eager"))
        raise KeyboardInterrupt

    monkeypatch.setattr(heads_module, "measure_classifiers", measure)
    status, out, error = command(monkeypatch, capsys, "heads", "--out", tmp_path)
    assert status == 130
    assert "interrupted" in error
    assert "arcface eager" in out
    assert (tmp_path / "heads.csv").exists()


def test_scaling_takes_fewer_classes_than_images():
    costs = []
    scaling([10], 16, 8, "arcface", 0.5, 8, 4, 1, costs)
    assert all(len(c.seconds) == 1 for c in costs)
