"""Comparisons: what is written becomes variants, equal seeds start equal, intervals are honest, and nothing is lost."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from itertools import product

import numpy as np
import pytest
import torch
from compare.made import comparison_of
from hypothesis import given
from hypothesis import strategies as st

from workbench.cli import main as cli
from workbench.compare import engine, parsing, task, variants
from workbench.compare.engine import compare, execute, gather
from workbench.compare.figures import differences_figure, seeds_figure, sweep_figure, variant_styles
from workbench.compare.plan import prepare, round_steps
from workbench.compare.results import METRICS
from workbench.compare.tables import mean_and_std, print_tables, write_tables
from workbench.compare.variants import Variant
from workbench.core.errors import InputError
from workbench.core.locks import lock_folder
from workbench.core.record import Run
from workbench.data.pairs import split_identities
from workbench.methods import METHODS, build
from workbench.reports import comparison_words as words
from workbench.reports.comparison import write_report
from workbench.reports.sweeps import MAX_LINES, axis_title, lines_against, omitted_count, swept_names
from workbench.training.batches import batch_indices
from workbench.training.config import Config
from workbench.training.fit import Job, TrainingFault

TINY = Config(data="digits", size=16, dim=8, steps=4, batch=8, test=0.4, snapshots=2, device="cpu")
TWO = (Variant("ArcFace", "arcface"), Variant("NPCFace", "npcface"))


# What is written


@given(
    start=st.decimals(-10, 10, places=3),
    step=st.decimals("-2", "2", places=3).filter(bool),
    count=st.integers(1, 60),
    more=st.decimals(0, "0.999", places=3),
)
def test_a_range_is_every_step_from_its_start_to_its_end(start, step, count, more):
    end = start + (count - 1) * step + more * step
    found = parsing.parse_values(f"{start}:{end:f}:{step}", "--sweep")
    assert found == tuple(float(start + k * step) for k in range(count))


@given(st.lists(st.floats(-1e6, 1e6).map(lambda v: v + 0.0), min_size=1, max_size=8, unique=True))
def test_a_list_is_its_numbers(numbers):
    assert parsing.parse_values(",".join(map(repr, numbers)), "--sweep") == tuple(numbers)


def test_ranges_are_decimal_and_words_stay_words():
    assert parsing.parse_values("0:0.5:0.05", "")[3] == 0.15  # 3 * 0.05 is not
    assert parsing.parse_values("wrap, mm", "") == ("wrap", "mm")
    assert parsing.parse_values("false,0.5,1:2:0.5", "") == (False, 0.5, 1.0, 1.5, 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty value"),
        ("1,,2", "an empty value"),
        ("1,2,1.0", "the value 1.0 is given twice"),
        ("0:1", "'0:1' is not a range"),
        ("0:1:x", "'0:1:x' is not a range"),
        ("0:nan:1", "'0:nan:1' is not a range"),
        ("0:1:-0.1", "the range '0:1:-0.1' is empty"),
        ("1:0:0.1", "the range '1:0:0.1' is empty"),
        ("0:1:0", "the range '0:1:0' is empty"),
        ("0:1:1e-9", "more than 1000 values"),
        ("0:1:1e-9999999", "is not a range"),
        ("0:1e999:1", "'0:1e999:1' is not a range"),
    ],
)
def test_values_that_are_none(text, said):
    with pytest.raises(InputError, match=r"^--sweep npcface\.t: ") as error:
        parsing.parse_values(text, "--sweep npcface.t")
    assert said in str(error.value)


@given(st.decimals("0.001", "10000", places=3), st.sampled_from(["", "s", "m", "h"]))
def test_a_duration_is_its_number_in_its_unit(number, unit):
    expected = number * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]
    assert parsing.parse_duration(f"{number:f}{unit}") == pytest.approx(float(Decimal(expected)))


@pytest.mark.parametrize("text", ["", "0", "0s", "-5s", "60x", "1m30s", "nan", "inf", "1e3", "٣"])
def test_durations_that_are_none(text):
    with pytest.raises(InputError, match=r"^--budget .*expected a time such as 60s"):
        parsing.parse_duration(text)


def test_methods_and_presets_become_variants():
    found = variants.methods("arcface, npcface:facexzoo", TINY)
    assert [v.key for v in found] == ["arcface", "npcface-facexzoo"]
    assert found[1].label == "NPCFace (facexzoo)"
    config = found[1].config(TINY, 3)
    assert config == replace(TINY, method="npcface", preset="facexzoo", seed=3)


def test_every_method_can_be_compared():
    assert len(variants.methods(",".join(METHODS), Config(steps=10))) == len(METHODS)


def test_a_sweep_is_the_grid_of_each_method_and_its_values_are_final():
    found = variants.sweeps(["npcface.alpha=0:0.5:0.25", "mv_arc.t=1.0,1.2", "npcface.t=1.0,1.1"], TINY)
    mine = [dict(v.parameters) for v in found if v.method == "npcface"]
    assert mine == [{"alpha": a, "t": t} for a, t in product((0.0, 0.25, 0.5), (1.0, 1.1))]
    assert [dict(v.parameters) for v in found if v.method == "mv_arc"] == [{"t": 1.0}, {"t": 1.2}]
    assert found[5].label == "NPCFace α = 0.5, t = 1.1"
    config = found[5].config(TINY, 0)
    assert config.recipe == "small"
    assert (config.settings()["alpha"], config.settings()["t"]) == (0.5, 1.1)  # not weakened
    last = {event.name: event.new for event in config.schedule()}
    assert (last["alpha"], last["t"]) == (0.5, 1.1)  # what the warm-up ends at
    assert config.settings()["m0"] == pytest.approx(0.6 * 0.4)  # the rest is the recipe's


def test_the_ablation_is_table_ii_and_its_baseline_is_arcface():
    found = {v.label: v for v in variants.ablation("npcface", TINY)}
    assert list(found) == [f"NPCFace: {part}" for part in ("baseline", "negatives", "positive", "both")]
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(16, 8))), torch.from_numpy(rng.integers(0, 20, 16))
    settings = found["NPCFace: baseline"].config(TINY, 0).settings()
    losses = [
        build("npcface", 20, 8, **settings).double(),
        build("arcface", 20, 8, m=settings["m0"], s=settings["s"]).double(),
    ]
    one, other = (loss.loss(x, y).total.item() for loss in losses)
    assert one == pytest.approx(other, abs=1e-12)
    assert found["NPCFace: negatives"].parameters == {"m1": 0.0}
    assert found["NPCFace: positive"].parameters == {"t": 1.0, "alpha": 0.0}


def test_equal_settings_are_refused():
    for twice in ([*TWO, Variant("another", "arcface")], [*TWO, Variant("ArcFace", "npcface", "facexzoo")]):
        with pytest.raises(InputError, match="have the same"):
            variants.check_distinct(twice)


# What equal seeds share


def test_a_seed_gives_every_method_the_same_split_weights_centers_and_batches():
    jobs = [
        Job.start(v.config(TINY, 5), 9, 16) for v in variants.methods("arcface,npcface,recurricularface,cosface", TINY)
    ]
    first, *others = jobs
    for job in others:
        for name, value in first.backbone.state_dict().items():
            assert torch.equal(value, job.backbone.state_dict()[name])
        assert torch.equal(first.objective.centers.weight, job.objective.centers.weight)
        own = {name: getattr(job.config, name) for name in ("data", "size", "test", "batch", "lr", "steps", "seed")}
        assert own == {name: getattr(first.config, name) for name in own}  # all that split and batches depend on
    another = Job.start(TWO[0].config(TINY, 6), 9, 16)
    assert not torch.equal(first.objective.centers.weight, another.objective.centers.weight)
    assert not np.array_equal(split_identities(100, 0.2, 5)[1], split_identities(100, 0.2, 6)[1])
    assert not torch.equal(batch_indices(90, 8, 0, 5), batch_indices(90, 8, 0, 6))


# What is shown


def test_a_tar_of_too_few_impostor_pairs_is_not_shown(tmp_path):
    found = replace(comparison_of([[0.5, 0.5], [1.0, 1.0]], "tar@0.01"), impostors=999)
    assert mean_and_std(found, 1, "tar@0.01") == "needs 1,000 impostor pairs"
    assert mean_and_std(found, 1, "eer").endswith("%")
    assert "needs 1,000 impostor pairs" in write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")


def test_tables_figures_and_report(tmp_path, capsys):
    listed = variants.methods("arcface,npcface,norm_softmax", TINY)
    found = comparison_of(0.1 + np.random.default_rng(1).normal(size=(3, 4)) / 50, listed=listed)
    print_tables(found)
    printed = capsys.readouterr().out
    assert "Ranking by EER (smaller is better)" in printed
    assert "p (Holm)" in printed
    write_tables(found, tmp_path)
    files = {name: (tmp_path / f"{name}.csv").read_text().splitlines() for name in ("per_seed", "summary", "pairs")}
    rows = {name: list(csv.DictReader(lines)) for name, lines in files.items()}
    assert {name: len(lines) for name, lines in rows.items()} == {"per_seed": 12, "summary": 24, "pairs": 3}
    assert float(rows["per_seed"][5]["eer"]) == found.values["eer"][1, 1]
    assert float(rows["summary"][0]["std"]) == pytest.approx(np.std(found.values["eer"][0], ddof=1))
    left, right = found.pairs[1, 0].left, found.pairs[1, 0].right
    assert (rows["pairs"][0]["left"], rows["pairs"][0]["right"]) == (listed[left].label, listed[right].label)
    page = write_report(found, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "10 steps: those of the slowest method, arcface" in page
    assert "no difference" in page
    assert "corrected for 3 pairs by Holm" in page
    assert float(rows["pairs"][0]["p_holm"]) == found.pairs[1, 0].p
    assert page.count('class="plot"') == 2
    for figure in (seeds_figure(found), differences_figure(found, dark=True)):
        assert figure.layout.xaxis.title.text.count("EER")
    assert differences_figure(found).layout.yaxis.ticktext[0].startswith("NPCFace<br>− ArcFace<br>")
    assert [look.color for look in variant_styles(found)] == ["#0072B2", "#009E73", "#8A8A8A"]


def test_a_sweep_is_drawn_with_one_line_for_each_held_value(tmp_path):
    listed = variants.sweeps(["npcface.alpha=0:0.5:0.1", "npcface.t=1.0,1.3", "mv_arc.t=1.0,1.1,1.2"], TINY)
    values = [[v.parameters.get("alpha", 0) + v.parameters["t"], 0.0] for v in listed]
    found = comparison_of(values, listed=listed)
    assert swept_names(found) == ["alpha", "t"]
    lines = lines_against(found, "alpha", "eer")
    assert [line.style.label for line in lines] == ["NPCFace, t = 1", "NPCFace, t = 1.3"]
    assert np.allclose(lines[1].values[:, 0], np.arange(6) / 10 + 1.3)
    assert len({(line.style.dash, line.style.marker) for line in lines}) == 2
    over_t = lines_against(found, "t", "eer")
    assert [line.style.label for line in over_t][-1] == "MV-softmax (Arc)"
    assert len(over_t) == MAX_LINES + 1
    assert omitted_count(found, "t") == 2
    assert axis_title(found, "alpha") == "α: cosine added to a hard negative"
    figure = sweep_figure(lines, "x", "y")
    mean = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert list(mean[0].y) == pytest.approx([100 * (1 + k / 10) / 2 for k in range(6)])
    assert write_report(found, tmp_path / "r.html").read_text(encoding="utf-8").count('class="plot"') == 2 + 2 * 3


def test_the_report_says_the_call_that_makes_it_again(tmp_path):
    listed = variants.sweeps(["npcface.t=1.0,1.1"], TINY)
    found = comparison_of([[0.1, 0.2], [0.3, 0.4]], listed=listed)
    found.info["common"] |= {"lr": 0.1}
    calls = []
    code = words.python_call(found).replace("comparison = compare(", "comparison = note(")
    exec(code, {"note": lambda *a, **named: calls.append((a, named))})
    ((called,), named) = calls[0]
    assert called == listed
    assert named == {
        **{"seeds": 2, "steps": 10, "metric": "eer", "threads": 1, "skip_broken": False},
        "base": Config(lr=0.1),
    }


def test_figures_need_no_torch_and_a_worker_listens_at_once():
    for room in ("workbench.compare.figures", "workbench.compare.worker"):
        code = f"import sys, {room}; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_words_are_swept_without_a_line_between_them():
    found = comparison_of([[0.1, 0.2], [0.3, 0.4]], listed=variants.sweeps(["npcface.guard=wrap,mm"], TINY))
    modes = {trace.mode for trace in sweep_figure(lines_against(found, "guard", "eer"), "x", "y").data}
    assert modes == {"markers"}


# What is trained


def small(out, **more):
    return compare(TWO, seeds=2, out=out, base=TINY, jobs=1, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small comparison, trained in this process: its folder and its result."""
    out = tmp_path_factory.mktemp("compare") / "whole"
    return out, small(out)


def losses(path):
    return Run.open(path).steps["loss"].tolist()


def test_a_comparison_has_every_run_and_is_not_trained_twice(whole, monkeypatch):
    out, found = whole
    assert found.values["eer"].shape == (2, 2)
    assert np.isfinite(found.values["eer"]).all()
    assert found.missing == {}
    assert (found.seconds > 0).all()
    monkeypatch.setattr(engine, "run_task", lambda *_: pytest.fail("a finished run was trained again"))
    again = small(out)
    assert np.array_equal(again.values["eer"], found.values["eer"])


@pytest.mark.slow
def test_an_interrupted_comparison_keeps_what_there_is_and_goes_on_to_the_same_bits(whole, tmp_path):
    out, found = whole
    plan, said = prepare(TWO, 2, TINY, tmp_path / "cut"), []

    def stop(done, total, what):
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(plan, 1, stop)
    cut = gather(plan)
    assert sorted(cut.missing.values()) == ["not trained yet", "not trained yet", "stopped by hand at step 2"]
    assert "stopped by hand at step 2" in write_report(cut, tmp_path / "cut.html").read_text(encoding="utf-8")
    execute(plan, 2, lambda *progress: said.append(progress[:2]))  # in two processes, to the bits of one
    assert said[-1] == (12, 12)
    again = gather(plan)
    assert all(np.array_equal(found.values[name], again.values[name]) for name in METRICS)
    for key, seed in product(("arcface", "npcface"), (0, 1)):
        assert losses(out / key / f"seed-{seed}") == losses(tmp_path / "cut" / key / f"seed-{seed}")


@pytest.mark.slow
def test_a_process_that_nobody_listens_to_saves_its_training_and_ends(tmp_path):
    plan = prepare(TWO, 1, replace(TINY, steps=5000), tmp_path / "left")

    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run_parallel(plan.tasks, 1, 1, engine.StepCounter(0, 2, 5000, stop))
    first, second = gather(plan).missing.values()
    assert first.startswith("stopped by hand at step ")
    assert second == "not trained yet"


def test_a_loss_that_fails_is_a_result_and_is_not_tried_again(tmp_path, monkeypatch):
    plan = prepare(TWO, 1, TINY, tmp_path / "fails")

    def diverge(config, path, *_):
        run = Run.create(path, {"config": config.to_json()}, {})
        run.finish("failed: step 2: the loss is nan")
        raise TrainingFault("step 2: the loss is nan")

    monkeypatch.setattr(task, "train", diverge)
    execute(plan, 1)
    monkeypatch.setattr(task, "train", lambda *_: pytest.fail("tried again"))
    execute(plan, 1)
    assert set(gather(plan).missing.values()) == {"failed: step 2: the loss is nan"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"centers": "queued", "class_set": {"k": 3}}, "unknown option of queued centers 'k'; known: K,"),
        ({"centers": "queued", "class_set": {"K": 500}}, r"queued centers: K = 500 is outside \[0, 5\] \(6 classes\)"),
        ({"centers": "sampled", "class_set": {"rate": 2.0}}, r"rate = 2\.0 is outside"),
        ({"data": "folder:nowhere"}, "no such folder"),
        ({"test": 0.05}, "identities"),
    ],
)
def test_settings_are_checked_before_any_training(tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr("workbench.compare.engine.run_task", lambda *_: pytest.fail("a training was started"))
    with pytest.raises(InputError, match=message):
        compare(TWO, seeds=1, base=replace(TINY, **changes), out=tmp_path / "c", jobs=1)
    assert not list(tmp_path.iterdir())


def test_sampled_centers_refuse_a_loss_without_classes_before_any_training(tmp_path):
    listed = [*TWO, Variant("Triplet", "triplet")]
    with pytest.raises(InputError, match="triplet compares samples with each other, not with classes"):
        compare(listed, seeds=1, base=replace(TINY, centers="sampled"), out=tmp_path / "c", jobs=1)
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_process_is_left_alone(tmp_path):
    plan = prepare(TWO[:1], 1, TINY, tmp_path / "busy")
    path = plan.tasks[0].path
    Run.create(path, {"config": plan.tasks[0].config.to_json()}, {})
    with lock_folder(path, ""), pytest.raises(InputError, match="is being trained by another process"):
        execute(plan, 1)


def test_a_folder_of_another_comparison_is_refused(tmp_path):
    out = tmp_path / "mine"
    prepare(TWO, 2, TINY, out)
    assert prepare(TWO, 3, TINY, out).seeds == (0, 1, 2)  # more seeds are welcome
    for change, said in (
        (lambda: prepare(TWO, 2, TINY, out), "--seeds 2: .* holds 3; give as many or more"),
        (lambda: prepare(TWO[:1], 3, TINY, out), "its list of losses is ArcFace, NPCFace, this one's ArcFace"),
        (lambda: prepare(TWO, 3, replace(TINY, lr=0.1), out), "its lr is 0.2, this one's 0.1"),
        (lambda: prepare(TWO, 3, TINY, out, threads=2), "its threads is 1, this one's 2"),
        (lambda: prepare(TWO, 3, replace(TINY, steps=9), out), "its steps is 4, this one's 9"),
    ):
        with pytest.raises(InputError, match=said):
            change()
    info = json.loads((out / "compare.json").read_text())
    info["variants"][0]["settings"]["m"] = 0.7  # as if an earlier version of the presets had been used
    (out / "compare.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"its ArcFace is .*0\.7"):
        prepare(TWO, 3, TINY, out)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something that is not a comparison"):
        prepare(TWO, 2, TINY, tmp_path / "thesis")
    (out / "compare.json").write_text('{"variants": 3}')
    with pytest.raises(InputError, match=r"compare\.json: 'seeds' is missing"):
        prepare(TWO, 3, TINY, out)


def test_a_budget_becomes_the_steps_of_the_slowest_and_is_measured_once(tmp_path, monkeypatch):
    from workbench.compare import plan as plans

    monkeypatch.setattr(plans, "measure_steps", lambda plan: {"arcface": 0.02, "npcface": 0.03})
    plan = prepare(TWO, 1, TINY, tmp_path / "b", budget=30.1)
    assert plan.base.steps == 1000  # 30.1 / 0.03 = 1003
    assert {one.config.steps for one in plan.tasks} == {1000}
    monkeypatch.setattr(plans, "measure_steps", lambda plan: pytest.fail("measured again"))
    assert prepare(TWO, 1, TINY, tmp_path / "b", budget=30.1).base.steps == 1000
    info = json.loads((tmp_path / "b" / "compare.json").read_text())
    assert (info["budget"], info["measured"], info["common"]["steps"]) == (
        30.1,
        {"arcface": 0.02, "npcface": 0.03},
        1000,
    )


def test_a_calibration_times_each_method_once(tmp_path):
    measured = prepare([*TWO, Variant("mild", "npcface", "paper", {"t": 1.0})], 1, TINY, tmp_path / "b", 1e-9).measured
    assert list(measured) == ["arcface", "npcface"]
    assert all(0 < time < 10 for time in measured.values())


@pytest.mark.parametrize(("steps", "rounded"), [(0.3, 1), (7.9, 7), (99.5, 99), (1137, 1100), (20999, 20000)])
def test_steps_of_a_budget_are_rounded_down_to_two_digits(steps, rounded):
    assert round_steps(steps) == rounded


# The command line


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["workbench", "compare", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return (stop.code, *capsys.readouterr())
        return (0, *capsys.readouterr())

    return call


DIGITS = ("--data", "digits", "--size", 16, "--dim", 8, "--batch", 8, "--test", 0.4, "--device", "cpu", "--jobs", 1)


def test_the_command_prints_tables_writes_a_report_and_survives_ctrl_c(run, tmp_path, monkeypatch):
    asked = ("--methods", "arcface,npcface", "--seeds", 1, "--steps", 3, *DIGITS, "--out", tmp_path / "c")
    train = task.train

    def interrupted(config, path, *rest):
        if config.method == "npcface":
            raise KeyboardInterrupt
        return train(config, path, *rest)

    monkeypatch.setattr(task, "train", interrupted)
    status, out, error = run(*asked)
    assert status == 130
    assert "run the same command again to resume" in error
    assert "missing: NPCFace, seed 0: not trained yet" in out
    assert (tmp_path / "c" / "report.html").exists()
    monkeypatch.setattr(task, "train", train)
    status, out, error = run(*asked)
    assert status == 0
    assert "no place: fewer than 3 seeds" in out
    assert "2 losses x 1 seeds = 2 trainings, 1 at a time; each of 3 steps" in error
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        *(".lock", "arcface", "compare.json", "npcface", "pairs.csv", "per_seed.csv", "report.html", "summary.csv")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to compare: give --methods, --sweep or --ablation"),
        (
            ("--methods", "arcface,npcfase"),
            "--methods arcface,npcfase: unknown method 'npcfase'; did you mean 'npcface'?",
        ),
        (("--methods", "arcface:pappers"), "unknown preset of arcface 'pappers'"),
        (("--methods", "arcface,arcface"), "'ArcFace' and 'ArcFace' have the same settings"),
        (("--sweep", "npcface.t"), "--sweep npcface.t: expected METHOD.PARAMETER=VALUES"),
        (("--sweep", "t=1,2"), "--sweep t=1,2: expected METHOD.PARAMETER=VALUES"),
        (("--sweep", "npcface.tt=1,2"), "--sweep npcface.tt=1,2: unknown parameter of npcface 'tt'"),
        (("--sweep", "npcface.t=1,9"), "t = 9.0 is outside [0.5, 2]"),
        (("--sweep", "npcface.t=2:1:0.1"), "the range '2:1:0.1' is empty"),
        (("--sweep", "npcface.t=1", "--sweep", "npcface.t=2"), "t of npcface is swept twice"),
        (("--ablation", "arcface"), "unknown --ablation 'arcface'"),
        (("--methods", "arcface", "--seeds", "0"), "--seeds 0: at least 1"),
        (("--methods", "arcface", "--jobs", "0"), "--jobs 0: at least 1"),
        (("--methods", "arcface", "--threads", "0"), "--threads 0: at least 1"),
        (("--methods", "arcface", "--budget", "soon"), "--budget soon: expected a time such as 60s"),
        (("--methods", "arcface", "--metric", "err"), "unknown --metric 'err'; did you mean 'eer'?"),
        (("--methods", "arcface", "--steps", "0"), "steps = 0 is outside"),
        (("--methods", "arcface", "--steps", "9", "--budget", "1m"), "--steps 9 and --budget 1m: give one of them"),
        (("--methods", "arcface", "--data", "faces"), "unknown data 'faces'"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(run, tmp_path, arguments, said):
    status, _, error = run(*arguments, "--out", tmp_path / "c")
    assert status == 2
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
