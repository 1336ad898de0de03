"""Mining: indexes against the exact search, merging against a plain loop, planted duplicates and label errors."""

import csv
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cli import main as cli
from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Run, Snapshot
from workbench.mining import cells
from workbench.mining import exact as searching
from workbench.mining import index as module
from workbench.mining.audit import mine
from workbench.mining.dataset import read
from workbench.mining.exact import StopSearch, exact_neighbors, quantize
from workbench.mining.index import nearest_neighbors
from workbench.mining.measures import captured_mass, recall
from workbench.mining.queue import HardNegativeQueue


def families(classes: int, dim: int, size: int = 20, seed: int = 0) -> torch.Tensor:
    """Centers (C, D) in families of similar classes, in random order, of uneven lengths."""
    g = torch.Generator().manual_seed(seed)
    heads = torch.nn.functional.normalize(torch.randn(classes // size, dim, generator=g), dim=1)
    own = torch.nn.functional.normalize(torch.randn(classes, dim, generator=g), dim=1)
    W = heads[torch.randperm(classes, generator=g) % len(heads)] + own
    return W * (0.5 + torch.rand(classes, 1, generator=g))


def oracle(W: torch.Tensor, K: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ids and cosines by the whole matrix of cosines."""
    x = torch.nn.functional.normalize(W.double(), dim=1)
    cos, ids = (x @ x.T).fill_diagonal_(-2).topk(K, dim=1)
    return ids.int(), cos.float()


# ---- indexes


@pytest.mark.parametrize("kind", ["exact", "flat"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_exhaustive_searches_are_the_oracle(kind, dtype, monkeypatch):
    monkeypatch.setattr(searching, "TILE", 37)  # many tiles, the last one narrower than K
    W = families(120, 16).to(dtype)
    ids, cos = oracle(W, 10)
    found = nearest_neighbors(W, 10, kind, device="cpu", chunk=50)
    assert (found.kind, found.recall, found.ids.dtype) == (kind, 1.0, torch.int32)
    torch.testing.assert_close(found.cosines, cos, atol=1e-5, rtol=0)
    assert recall(found.ids, ids) > 0.999


@pytest.mark.parametrize("kind", ["cells", "ivf", "pq", "hnsw"])
def test_an_approximate_search_says_the_recall_that_it_has(kind):
    W = families(2000, 128)
    ids, cos = oracle(W, 8)
    found = nearest_neighbors(W, 8, kind, device="cpu")
    assert found.kind == kind
    assert found.recall >= 0.95
    assert abs(recall(found.ids, ids) - found.recall) < 0.03
    at = found.ids[:, :1].long()
    x = torch.nn.functional.normalize(W, dim=1)
    torch.testing.assert_close(found.cosines[:, 0], (x * x[at[:, 0]]).sum(1), atol=1e-5, rtol=0)  # pq re-scores, too
    assert (found.ids != torch.arange(2000)[:, None]).all()
    assert (cos[:, 0] - found.cosines[:, 0]).min() > -1e-5


@pytest.mark.parametrize("kind", ["cells", "ivf", "pq"])
def test_the_same_seed_finds_the_same_bits(kind):
    W = families(1000, 16)
    one, two = (nearest_neighbors(W, 8, kind, device="cpu", seed=3) for _ in range(2))
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.cosines, two.cosines)


def test_auto_goes_by_size_and_by_what_a_sample_shows(monkeypatch):
    W = families(2000, 128, size=50)
    assert nearest_neighbors(W, 4, device="cpu").kind == "flat"
    monkeypatch.setattr(module, "SMALL", 100)
    assert nearest_neighbors(W, 4, device="cpu").kind == "cells"
    noise = torch.randn(1000, 128, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbors(noise, 4, device="cpu")
    assert (found.kind, found.recall) == ("flat", 1.0)
    assert "without families" in found.reason
    monkeypatch.setitem(module.AFFORDABLE, "cpu", 1.0)
    found = nearest_neighbors(noise, 4, device="cpu")
    assert found.kind == "cells"
    assert found.recall < 0.98


@pytest.mark.parametrize("kind", ["exact", "flat", "cells", "ivf", "pq"])
def test_classes_too_near_are_no_neighbors(kind):
    """With 60 copies of one class, K other classes remain for each."""
    W = families(400, 64)
    W[:60] = W[0] * (1 + torch.rand(60, 1))
    found = nearest_neighbors(W, 6, kind, device="cpu", max_cosine=0.9)
    cos, ids = oracle_below(W, 6, 0.9)
    assert (found.ids >= 0).all()
    assert (found.cosines <= 0.9).all()
    assert recall(found.ids, ids) > 0.9
    if kind in ("exact", "flat"):
        torch.testing.assert_close(found.cosines, cos, atol=1e-5, rtol=0)


def oracle_below(W: torch.Tensor, K: int, above: float) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.nn.functional.normalize(W.double(), dim=1)
    cos = (x @ x.T).fill_diagonal_(-2)
    cos, ids = cos.masked_fill(cos > above, -2).topk(K, dim=1)
    return cos.float(), ids.int()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_codes_of_a_byte_a_number_point_where_the_centers_do(dtype, monkeypatch):
    monkeypatch.setattr(searching, "TILE", 37)
    W = families(300, 512).to(dtype)
    codes = quantize(W)
    assert (codes.dtype, codes.abs().amax(dim=1).unique().tolist()) == (torch.int8, [127])
    between = [x @ x.T for x in (torch.nn.functional.normalize(a.double(), dim=1) for a in (W, codes))]
    assert (between[0] - between[1]).abs().mean() < 5e-4
    for kind in ("exact", "flat", "cells"):
        assert recall(nearest_neighbors(codes, 8, kind, device="cpu").ids, oracle(W, 8)[0]) > 0.95


def test_cells_find_families_that_no_cell_began_in(monkeypatch):
    """120 families, and 40 cells begin in the first part of the middles; few of the 80 others go without one."""
    monkeypatch.setattr(cells, "CELLS", 160)
    monkeypatch.setattr(cells, "VISITED", 8)
    W = families(6000, 256, size=50)
    found = nearest_neighbors(W, 8, "cells", device="cpu")
    assert found.recall > 0.9


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    W = families(100, 8)
    found = nearest_neighbors(W, 4, device="cpu")
    assert found.kind == "exact"
    assert found.reason.endswith("FAISS is not installed")
    assert recall(found.ids, oracle(W, 4)[0]) == 1
    with pytest.raises(InputError, match="kind 'ivf' needs FAISS"):
        nearest_neighbors(W, 4, "ivf")


@pytest.mark.parametrize("kind", ["exact", "flat", "cells", "ivf", "pq"])
def test_fewer_classes_than_asked_for(kind):
    found = nearest_neighbors(families(40, 8), 60, kind, device="cpu")
    assert (found.ids[:, 39:] == -1).all()
    assert found.cosines[:, 39:].isneginf().all()
    if kind in ("exact", "flat"):
        assert [sorted(row) for row in found.ids[:, :39].tolist()] == [
            [j for j in range(40) if j != i] for i in range(40)
        ]


def test_progress_and_stop():
    W, seen = families(100, 8), []
    nearest_neighbors(W, 4, device="cpu", chunk=30, progress=lambda *a: seen.append(a))
    assert seen == [(30, 100), (60, 100), (90, 100), (100, 100)]
    for kind in ("exact", "flat", "cells"):
        with pytest.raises(StopSearch):
            nearest_neighbors(W, 4, kind, device="cpu", chunk=30, stop=lambda: True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "ivv"}, "unknown kind of index 'ivv'; did you mean 'ivf'?"),
        ({"K": 0}, "K = 0: at least 1"),
        ({"chunk": 0}, "chunk = 0: at least 1"),
        ({"min_recall": 0.0}, "min_recall = 0.0: a recall in"),
        ({"device": "tpu"}, "device = 'tpu' is not one of"),
        ({"W": torch.ones(1, 4)}, "W is torch.float32 (1, 4)"),
        ({"W": torch.ones(4)}, "W is torch.float32 (4,)"),
        ({"W": torch.ones(4, 4, dtype=torch.long)}, "W is torch.int64 (4, 4)"),
        ({"W": torch.tensor([[1.0, 0], [0, 1], [0, 0]])}, "center 2 has length 0"),
        ({"W": torch.tensor([[1.0, 0], [float("nan"), 1]]), "kind": "exact"}, "center 1 has length nan"),
    ],
)
def test_bad_arguments_of_a_search(change, words):
    arguments = {"W": torch.eye(4), "K": 2, "device": "cpu"} | change
    with pytest.raises(InputError, match=re.escape(words)):
        nearest_neighbors(**arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["auto", "flat", "cells", "ivf", "pq"])
def test_searches_on_a_gpu(kind):
    W = families(3000, 64)
    assert recall(nearest_neighbors(W, 8, kind, device="cuda").ids, oracle(W, 8)[0]) > 0.95


# ---- the queue


def merge_by_hand(queue, own, offers, K, conflict, max_age):
    """One class's queue [(id, float16 score, age)] after an offer [(id, score)], as one would write it down."""
    entries = {id_: (score, age + 1) for id_, score, age in queue}
    fresh = {}
    for id_, score in offers:
        score = float(np.float16(score))
        if id_ >= 0 and id_ != own and np.isfinite(score):
            fresh[id_] = max(score, fresh.get(id_, -np.inf))
    entries.update({id_: (score, 0) for id_, score in fresh.items()})
    kept = [
        (id_, score, age)
        for id_, (score, age) in entries.items()
        if (conflict is None or score <= conflict) and (max_age is None or age <= max_age)
    ]
    return sorted(kept, key=lambda e: (-e[1], e[0]))[:K]


def entries_of(queue: HardNegativeQueue, c: int) -> list[tuple[int, float, int]]:
    rows = zip(queue.ids[c].tolist(), queue.scores[c].tolist(), queue.ages[c].tolist(), strict=True)
    return [row for row in rows if row[0] >= 0]


score = st.sampled_from([-1.0, -0.3, 0.0, 0.2, 0.2001, 0.5, 0.7, 1.0, float("nan"), float("-inf")])


@settings(max_examples=40)
@given(data=st.data(), K=st.integers(0, 4), conflict=st.sampled_from([None, 0.45]), max_age=st.sampled_from([None, 1]))
def test_merging_is_what_one_would_do_by_hand(data, K, conflict, max_age):
    C = 7
    queue, by_hand = HardNegativeQueue(C, K), {c: [] for c in range(C)}
    for _ in range(data.draw(st.integers(1, 4))):
        classes = data.draw(st.lists(st.integers(0, C - 1), unique=True, max_size=C))
        M = data.draw(st.integers(0, 5))
        offer = st.lists(st.tuples(st.integers(-1, C - 1), score), min_size=M, max_size=M)
        offers = [data.draw(offer) for _ in classes]
        table = torch.tensor([[list(o) for o in row] for row in offers], dtype=torch.float64).reshape(
            len(classes), M, 2
        )
        queue.merge(torch.tensor(classes, dtype=torch.long), table[..., 0].long(), table[..., 1], conflict, max_age)
        for c, row in zip(classes, offers, strict=True):
            by_hand[c] = merge_by_hand(by_hand[c], c, row, K, conflict, max_age)
    for c in range(C):
        assert entries_of(queue, c) == by_hand[c]
        held = len(by_hand[c])
        assert (queue.ids[c, held:] == -1).all()
        assert queue.scores[c, held:].isneginf().all()
        assert (queue.ages[c, held:] == 0).all()


def test_a_newer_score_replaces_a_better_old_one():
    queue = HardNegativeQueue(5, 2)
    queue.merge(torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[0.75, 0.5]]))
    queue.merge(torch.tensor([0]), torch.tensor([[1]]), torch.tensor([[0.25]]))
    assert entries_of(queue, 0) == [(2, 0.5, 1), (1, 0.25, 0)]
    queue.merge(torch.tensor([0]), torch.tensor([[1]]), torch.tensor([[0.9]]), conflict=0.8)
    assert entries_of(queue, 0) == [(2, 0.5, 2)]


def test_an_entry_takes_eight_bytes():
    queue = HardNegativeQueue(100, 32)
    assert sum(t.numel() * t.element_size() for t in queue.state_dict().values()) == 100 * 32 * 8
    assert [t.dtype for t in queue.state_dict().values()] == [torch.int32, torch.float16, torch.int16]


def test_rebuild_makes_a_new_queue_beside_the_old_one():
    W = families(200, 16)
    old = HardNegativeQueue(200, 8)
    made = []
    worker = threading.Thread(target=lambda: made.append(old.rebuild(W, device="cpu")))
    worker.start()
    worker.join()
    (new,) = made
    assert (old.ids == -1).all()
    assert (new.ids >= 0).all()
    assert new.recall(W) == 1.0
    assert recall(new.of(torch.tensor([3, 5])), oracle(W, 8)[0][[3, 5]]) == 1
    assert (new.ages == 0).all()
    with pytest.raises(StopSearch):
        old.rebuild(W, stop=lambda: True)


def test_rebuild_leaves_out_what_conflicts():
    W = families(200, 16)
    W[1] = 3 * W[0]
    assert HardNegativeQueue(200, 8).rebuild(W, device="cpu").ids[0, 0] == 1
    new = HardNegativeQueue(200, 8).rebuild(W, device="cpu", conflict=0.99)
    assert 1 not in new.ids[0]
    assert (new.ids >= 0).all()
    assert new.scores.max() <= 0.99
    none = HardNegativeQueue(200, 8).rebuild(W, device="cpu", conflict=-1.0)
    assert (none.ids == -1).all()


def test_ages_and_recall_of_a_queue():
    W = families(200, 16)
    one = HardNegativeQueue(200, 4).rebuild(W, device="cpu")
    two = HardNegativeQueue(200, 4)
    two.load_state_dict(one.state_dict())
    two.merge(torch.tensor([0]), torch.tensor([[int(two.ids[0, 1])]]), torch.tensor([[2.0]]))
    assert torch.bincount(two.ages.flatten().long()).tolist() == [797, 3]
    assert (one.ages == 0).all()  # loading copies
    two.ids[0] = torch.tensor([-1, -1, -1, int(two.ids[0, 3])])
    assert two.recall(W, sample=200) == pytest.approx(797 / 800)


def test_a_saved_queue_that_does_not_fit_changes_nothing():
    queue = HardNegativeQueue(20, 4).rebuild(families(20, 8), device="cpu")
    before = queue.ids.clone()
    for state in (HardNegativeQueue(20, 3).state_dict(), {"ids": queue.ids * 0}):
        with pytest.raises(InputError, match="queue state"):
            queue.load_state_dict(state)
    assert torch.equal(queue.ids, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda q: HardNegativeQueue(1, 4), "classes = 1: a queue needs 2"),
        (lambda q: HardNegativeQueue(5, -1), "K = -1: at least 0"),
        (lambda q: q.merge(torch.tensor([1, 1]), torch.zeros(2, 1), torch.zeros(2, 1)), "classes has a class twice"),
        (lambda q: q.merge(torch.tensor([5]), torch.zeros(1, 1), torch.zeros(1, 1)), "classes 5..5 are not in 0..4"),
        (lambda q: q.merge(torch.tensor([1]), torch.tensor([[7]]), torch.zeros(1, 1)), "candidates 7..7 are not in"),
        (lambda q: q.merge(torch.tensor([1]), torch.zeros(1, 2), torch.zeros(1, 1)), "(P,), (P, M), (P, M) are needed"),
        (lambda q: q.rebuild(torch.eye(4)), "W has 4 centers; the queue holds 5 classes"),
    ],
)
def test_bad_arguments_of_a_queue(call, words):
    with pytest.raises(InputError, match=re.escape(words)):
        call(HardNegativeQueue(5, 2))


# ---- measures


def test_captured_mass_adds_probabilities():
    cos = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).tanh().double()
    y = torch.tensor([0, 1, 2, 3, 8])
    ids = torch.tensor([[1, 2, -1], [1, 5, 6], [-1, -1, -1], [0, 1, 1], [7, 2, 8]])
    found = captured_mass(cos, y, ids, s=4.0)
    for i in range(5):
        p = torch.softmax(4 * cos[i], 0)
        held = {j for j in ids[i].tolist() if j >= 0} - {int(y[i])}
        assert found[i] == pytest.approx(float(sum(p[j] for j in held) / (1 - p[y[i]])), abs=1e-12)
    everything = captured_mass(cos, y, torch.ones(9, dtype=torch.bool))
    torch.testing.assert_close(everything, torch.ones(5).double())
    with pytest.raises(InputError, match="mask of 4 classes; cos has 9"):
        captured_mass(cos, y, torch.ones(4, dtype=torch.bool))
    with pytest.raises(InputError, match="active ids have shape"):
        captured_mass(cos, y, torch.zeros(3, 2).long())


def test_a_queue_captures_the_mass_of_families_and_not_of_noise():
    noise = torch.randn(1000, 256, generator=torch.Generator().manual_seed(1))
    masses = []
    for W in (families(1000, 256), noise):
        queue = HardNegativeQueue(1000, 32).rebuild(W, device="cpu")
        x = torch.nn.functional.normalize(W, dim=1)
        masses.append(float(captured_mass(x @ x.T, torch.arange(1000), queue.ids, s=24).mean()))
    assert masses[0] > 0.5 > masses[1]


def test_exact_finds_a_samples_nearest_other_class():
    W = torch.eye(4)
    ids, cos = exact_neighbors(torch.tensor([[0.6, 0.8, 0, 0]]), W, 2, torch.tensor([1]))
    assert ids[0, 0] == 0
    assert float(cos[0, 0]) == pytest.approx(0.6)


# ---- workbench mine


@pytest.fixture
def planted_file(tmp_path):
    """Sixty classes of six samples: class 7 is class 3 again, samples 30 and 100 have wrong labels, one is alone."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(61, 32))
    centers[7] = centers[3]
    y = np.append(np.repeat(np.arange(60), 6), 60)
    x = centers[y] + 0.3 * rng.normal(size=(len(y), 32))
    labels = np.array([f"<p{i:02d}>" for i in y])
    labels[[30, 100]] = "<p50>", "<p20>"
    images = rng.integers(0, 255, (len(y), 8, 6), dtype=np.uint8)
    path = tmp_path / "e.npz"
    np.savez(path, embeddings=x.astype(np.float32), labels=labels, images=images)
    return path


def workbench(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["workbench", "mine", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return (stop.value.code, *capsys.readouterr())


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_mine_finds_what_was_planted(planted_file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "found"
    status, said, _ = workbench(capsys, monkeypatch, "--embeddings", planted_file, "--k", 5, "--out", out)
    assert status == 0
    assert "<p03>  <p07>" in said
    assert [(r["class_a"], r["class_b"]) for r in rows(out / "duplicates.csv")] == [("<p03>", "<p07>")]
    found = {(int(r["sample"]), r["label"], r["nearer"]) for r in rows(out / "label_errors.csv")}
    assert found >= {(30, "<p50>", "<p05>"), (100, "<p20>", "<p16>")}
    assert {i for i, _, _ in found} - {30, 100} <= set(range(18, 24)) | set(range(42, 48))  # the duplicates' own
    pairs = rows(out / "pairs.csv")
    assert len({frozenset((r["class_a"], r["class_b"])) for r in pairs}) == len(pairs)
    cosines = [float(r["cosine"]) for r in pairs]
    assert cosines == sorted(cosines, reverse=True)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;p03&gt;" in page
    assert "<p03>" not in page
    assert page.count("data:image/png;base64,") > 10
    assert "light-dark(" in page
    assert not re.search(r"(src|href)=.https?:", page)
    assert "not judged: 1 samples" in page
    assert sorted(p.name for p in out.iterdir()) == ["duplicates.csv", "index.html", "label_errors.csv", "pairs.csv"]
    status, _, error = workbench(capsys, monkeypatch, "--embeddings", planted_file, "--out", out)
    assert (status, error.count("\n")) == (2, 1)
    assert "exists already" in error


def test_a_samples_own_pull_on_its_center_is_left_out(tmp_path):
    x = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 1, 2, 2]]
    x[1] = [0, 0.9, 0.1, 0]  # of two samples, one wrong: its own center with it would lie half way
    np.savez(tmp_path / "e.npz", embeddings=x, labels=[0, 0, 1, 1, 1, 2, 2])
    errors = mine(read(tmp_path / "e.npz"), device="cpu", margin=0.9).errors
    assert errors.sample.tolist() == [1]
    assert errors.own_cosine[0] == pytest.approx(0, abs=1e-6)


def test_centers_alone_give_pairs_and_duplicates(tmp_path, capsys, monkeypatch):
    W = families(100, 16).numpy()
    W[9] = 2 * W[4]
    np.savez(tmp_path / "c.npz", centers=W)
    said = workbench(capsys, monkeypatch, "--embeddings", tmp_path / "c.npz", "--out", tmp_path / "o")[1]
    assert "label errors" not in said
    assert [(r["class_a"], r["class_b"]) for r in rows(tmp_path / "o" / "duplicates.csv")] == [("4", "9")]
    assert "Centers alone say nothing about labels" in (tmp_path / "o" / "index.html").read_text(encoding="utf-8")
    given = mine(read(tmp_path / "c.npz"), K=200, duplicate=0.3, device="cpu")
    assert (given.duplicates.cosine > 0.3).all()
    assert len(given.pairs.a) == 100 * 99 / 2


def test_of_embeddings_and_centers_the_embeddings_are_mined(tmp_path, capsys, monkeypatch):
    """The files that `train` writes have both."""
    rng, y = np.random.default_rng(0), np.repeat(np.arange(12), 5)
    W = rng.normal(size=(12, 8))
    run = Run.create(tmp_path / "run", {"config": {}}, {})
    run.add_snapshot(Snapshot(5, W[y] + 0.1 * rng.normal(size=(60, 8)), y, rng.normal(size=(12, 8))))
    path = run.path / "snapshots" / "0000005.npz"
    status, said, _ = workbench(capsys, monkeypatch, "--embeddings", path)
    assert status == 0
    assert said.splitlines()[0] == "0000005.npz: has embeddings and centers: the embeddings are used"
    data = read(path)
    assert len(data.x) == 60
    assert ((data.centers @ torch.from_numpy(unit(W).astype(np.float32)).T).argmax(dim=1) == torch.arange(12)).all()


def test_names_and_paths_of_the_file_are_reported(planted_file, tmp_path, capsys, monkeypatch):
    with np.load(planted_file) as file:
        arrays = dict(file)
    names, arrays["labels"] = np.unique(arrays["labels"], return_inverse=True)
    arrays |= {"names": names, "paths": np.array([f"a/{i}.png" for i in range(len(arrays["labels"]))])}
    np.savez(tmp_path / "e.npz", **arrays)
    out = tmp_path / "o"
    status, said, _ = workbench(capsys, monkeypatch, "--embeddings", tmp_path / "e.npz", "--k", 5, "--out", out)
    assert status == 0
    assert "<p03>  <p07>" in said
    errors = {r["path"]: r["label"] for r in rows(out / "label_errors.csv")}
    assert errors["a/30.png"] == "<p50>"
    assert all(r["path"] == f"a/{r['sample']}.png" for r in rows(out / "label_errors.csv"))


E4, Y4 = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"features": E4}, (), "holds neither embeddings nor centers"),
        ({"embeddings": E4, "centers": E4}, (), "labels is missing"),
        ({"embeddings": E4}, (), "labels is missing"),
        ({"embeddings": E4, "labels": Y4[:3]}, (), "labels is int64 (3,)"),
        ({"embeddings": E4, "labels": Y4 * 0}, (), "labels name one class"),
        ({"embeddings": E4, "labels": np.array([{}] * 4)}, (), "array 'labels' is unreadable"),
        ({"embeddings": E4[0], "labels": Y4}, (), "embeddings is float32 (4,)"),
        ({"embeddings": E4 * (Y4[:, None] + 0), "labels": Y4}, (), "embeddings: row 0 has length 0"),
        ({"embeddings": E4[[0, 0, 1, 2]] * [[1], [-1], [1], [1]], "labels": Y4}, (), "one class cancel out: center 0"),
        ({"centers": E4[:1]}, (), "centers (C, D) with C >= 2 are needed"),
        ({"centers": E4 * np.nan}, (), "centers: row 0 has length nan"),
        ({"centers": E4, "names": np.array(["a"])}, (), "names has 1 entries; there are 4 centers"),
        ({"embeddings": E4, "labels": Y4, "names": np.array(["a"])}, (), "labels hold 1; with 1 names"),
        ({"centers": E4, "images": np.zeros((3, 8, 8), np.uint8)}, (), "images is uint8 (3, 8, 8)"),
        ({"centers": E4, "images": np.zeros((4, 8, 8))}, (), "images is float64"),
        ({"centers": E4}, ("--k", 0), "--k 0: at least 1"),
        ({"centers": E4}, ("--duplicate", 2), "--duplicate 2.0: a cosine"),
        ({"centers": E4}, ("--margin", -1), "--margin -1.0: a difference"),
        ({"centers": E4}, ("--index", "tree"), "unknown kind of index 'tree'"),
        ({"centers": E4}, ("--device", "tpu"), "device = 'tpu'"),
    ],
)
def test_bad_input_is_one_line(arrays, options, words, tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "e.npz", **arrays)
    status, _, error = workbench(
        capsys, monkeypatch, "--embeddings", tmp_path / "e.npz", "--out", tmp_path / "o", *options
    )
    error = error.removeprefix("mining: 4 of 4 classes\n")
    assert (status, error.count("\n")) == (2, 1)
    assert words in error
    assert not (tmp_path / "o").exists()


def test_files_that_cannot_be_mined(tmp_path, capsys, monkeypatch):
    (tmp_path / "e.npz").write_bytes(b"PK\x03\x04")
    np.save(tmp_path / "e.npy", E4)
    for name, words in (("e.npz", "not a readable npz"), ("e.npy", "labels is missing"), ("f.npz", "no such file")):
        status, _, error = workbench(capsys, monkeypatch, "--embeddings", tmp_path / name)
        assert (status, error.count("\n")) == (2, 1)
        assert error.startswith(f"workbench: {tmp_path / name}: {words}")


def test_the_room_stays_light():
    code = "import sys, workbench.mining.queue, workbench.mining.audit; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} & {"faiss", "plotly", "ipywidgets", "sklearn"} == set()
