"""QueueView: rivals against a loop, the table during training, messages of the browser."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panels.helpers import run_node

from workbench.core.angles import format_angle
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.mining.queue import HardNegativeQueue
from workbench.panels import queue_view
from workbench.panels.kit.selection import Selection
from workbench.panels.queue_view import QueueView
from workbench.probes.rivals import center_cosines, most_confused_class, nearest_classes, rivals


def snapshot(classes=30, n=120, dim=8, step=0, sub=1, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(classes * sub, dim)).astype(np.float32)
    y = rng.permutation(np.arange(n) % classes)
    return Snapshot(step, (W[y * sub] + noise * rng.normal(size=(n, dim))).astype(np.float32), y, W, sub=sub)


def shown(view):
    """The head of the last frame."""
    return view.newest[0]


def cosine(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True)) / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(1, 14), st.integers(0, 5), st.sampled_from([1, 3]))
def test_rivals_are_those_of_a_plain_loop(classes, K, seed, sub):
    seen = snapshot(classes, n=3 * classes, dim=4, sub=sub, seed=seed)
    own = seed % classes
    cos = center_cosines(seen.centers, own)
    found = rivals(seen, own, nearest_classes(cos, own, K), cos)
    plain = {j: cosine(seen.centers[own].tolist(), seen.centers[j].tolist()) for j in range(classes) if j != own}
    assert found.ids.tolist() == sorted(plain, key=lambda j: -plain[j])[:K]
    np.testing.assert_allclose(found.cosine, [plain[j] for j in found.ids.tolist()], atol=1e-5)

    def to(i, j):
        return max(cosine(seen.x[i].tolist(), w.tolist()) for w in seen.W[j * sub : (j + 1) * sub])

    mine = np.flatnonzero(seen.y == own).tolist()
    for k, j in enumerate(found.ids.tolist()):
        gaps = {i: to(i, j) - to(i, own) for i in mine}
        assert found.sample[k] == max(gaps, key=gaps.get)
        assert found.sample_cosine[k] == pytest.approx(to(found.sample[k], j), abs=1e-5)
        assert found.nearer[k] == (max(gaps.values()) > 0)


def test_of_equal_cosines_the_smaller_ids_are_taken():
    cos = np.array([1.0, 0.5, 0.7, 0.5, 0.5, 0.9])
    assert nearest_classes(cos, 0, 4).tolist() == [5, 2, 1, 3]
    assert nearest_classes(cos, 5, 2).tolist() == [0, 2]
    assert nearest_classes(cos[:1], 0, 3).tolist() == []


def test_the_most_confused_class_has_the_most_samples_with_one_other():
    W = np.eye(3, dtype=np.float32)
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    x = W[[1, 2, 0, 0, 0, 1, 2]]  # misclassified: 0 as 1, 0 as 2, and twice 1 as 0
    assert most_confused_class(Snapshot(0, x, y, W)) == 1
    x = W[y] + np.float32([[0, 0, 0]] * 6 + [[0.6, 0, 0]])  # none misclassified; a sample of class 2 is nearest to one
    assert most_confused_class(Snapshot(0, x, y, W)) == 2
    assert most_confused_class(Snapshot(0, x[:0], y[:0], W)) == 0


def test_a_class_without_samples_has_rivals_all_the_same():
    seen = snapshot(6, n=12)
    cos = center_cosines(seen.W, 3)
    none = Snapshot(0, seen.x[seen.y != 3], seen.y[seen.y != 3], seen.W)
    found = rivals(none, 3, nearest_classes(cos, 3, 2), cos)
    assert (found.sample == -1).all()
    assert np.isnan(found.sample_cosine).all()
    with pytest.raises(InputError, match="class 6: the classes of the snapshot are 0 to 5"):
        rivals(none, 6, np.array([1]), cos)


def test_the_table_shows_the_sixteen_nearest_of_the_most_confused_class():
    view, seen = QueueView(Selection(), [f"<{j}>" for j in range(30)]), snapshot()
    view.show(seen)
    assert view.own == most_confused_class(seen)
    table = shown(view)
    assert len(table["rows"]) == 16
    assert table["name"] == f"<{view.own}>"
    assert "16 nearest of 29 other centers, exact search: recall@16 = 1" in table["line"]
    assert "4 of 120 samples are of this class" in table["line"]
    cosines = [float(row["cosine"]) for row in table["rows"]]
    assert cosines == sorted(cosines, reverse=True)
    first = table["rows"][0]
    angle = math.acos(view.result.cosine[0])
    assert first["angle"] == format_angle(angle)
    for k, row in enumerate(table["rows"]):
        assert row["name"] == f"<{row['id']}>"
        assert row["why"].startswith("nearest centers")
        assert ("misclassified sample" in row["why"]) == bool(view.result.nearer[k])
        assert seen.y[row["images"][0][0]] == view.own
        assert seen.y[row["images"][1][0]] == row["id"]


def test_ages_are_counted_from_where_a_rival_was_first_seen():
    view, seen = QueueView(Selection()), snapshot(classes=20)
    view.show(seen)
    own, W = view.own, seen.W.copy()
    assert not shown(view)["columns"]["age"]  # unknown in the first frame
    outside = next(j for j in range(20) if j != own and j not in view.result.ids)
    W[outside] = 0.9 * W[own]  # nearest from now on
    view.show(Snapshot(10, seen.x, seen.y, W))
    view.show(Snapshot(40, seen.x, seen.y, W))
    ages = {row["id"]: row["age"] for row in shown(view)["rows"]}
    assert ages.pop(outside) == "30 steps"
    assert set(ages.values()) == {"40 steps or more"}
    view.show(Snapshot(5, seen.x, seen.y, W))  # the training was restored
    view.show(Snapshot(25, seen.x, seen.y, W))
    assert {row["age"] for row in shown(view)["rows"]} == {"25 steps or more", "20 steps or more"}
    view.own = (own + 1) % 20
    assert {row["age"] for row in shown(view)["rows"]} == {"first seen now"}


def test_a_queue_says_what_it_holds_how_old_it_is_and_what_it_misses():
    seen = snapshot(classes=12, noise=0.1)
    W = torch.from_numpy(seen.W)
    view, queue = QueueView(Selection()), HardNegativeQueue(12, 4)
    view.own = 2
    far = nearest_classes(-center_cosines(seen.W, 2), 2, 1)
    queue.merge(torch.tensor([2]), torch.tensor([[int(far[0])]]), torch.tensor([[-0.9]]))
    near = nearest_classes(center_cosines(seen.W, 2), 2, 1)
    queue.merge(torch.tensor([2]), torch.tensor([[int(near[0])]]), torch.tensor([[0.9]]))
    view.show(seen, queue, step=7)
    best, worst = shown(view)["rows"]
    assert (best["id"], best["age"], best["why"]) == (near[0], "0 visits", "nearest centers")
    assert (worst["id"], worst["age"], worst["why"]) == (far[0], "1 visit", "from an earlier batch")
    assert "step 7 · 2 nearest of 2 queued" in shown(view)["line"]
    assert "recall@4 = 0.25 for this class" in shown(view)["line"]
    view.show(seen, queue.rebuild(W, "exact"), step=9)
    assert f"{best['id']}" in {str(row["id"]) for row in shown(view)["rows"]}
    why = {row["id"]: row["why"] for row in shown(view)["rows"]}
    assert why.pop(near[0]) == "nearest centers"  # not new
    assert set(why.values()) == {"added by a refresh, seen at step 9"}
    assert "recall@4 = 1.00 for this class" in shown(view)["line"]


def test_the_recall_of_a_sample_of_classes_is_the_queues_own(monkeypatch):
    monkeypatch.setattr(queue_view, "INTERVAL", -1.0)
    seen = snapshot(classes=40)
    queue = HardNegativeQueue(40, 5).rebuild(torch.from_numpy(seen.W), "exact")
    queue.ids[:20] = -1
    view = QueueView(Selection())
    view.show(seen, queue)
    assert "0.50 for 40 classes at step 0" in shown(view)["line"]


def test_many_centers_are_searched_now_and_then_only(monkeypatch):
    monkeypatch.setattr(queue_view, "MAX_NUMBERS", 10)
    view, seen = QueueView(Selection()), snapshot()
    view.show(seen)
    view.show(Snapshot(9, seen.x, seen.y, seen.W))
    assert view.pushed == 1
    monkeypatch.setattr(queue_view, "INTERVAL", -1.0)
    view.show(Snapshot(9, seen.x, seen.y, seen.W))
    assert "step 9" in shown(view)["line"]


def test_a_picked_row_selects_both_classes_and_their_samples():
    selection, seen = Selection(), snapshot()
    view = QueueView(selection)
    view.show(seen)
    own, other = view.own, shown(view)["rows"][3]["id"]
    view.on_message({"pick": other})
    assert selection.classes == tuple(sorted((own, other)))
    assert view.own == own
    assert view.chosen == sorted((own, other))
    assert set(seen.y[list(selection.samples)]) == {own, other}
    view.on_message({"pick": other})  # picking again clears the selection
    assert selection.classes == selection.samples == ()
    view.on_message({"pick": other})
    view.on_message({"clear": True})
    assert selection.classes == ()


def test_the_class_shown_follows_the_selection_and_the_wish():
    selection, seen = Selection(), snapshot()
    selection.classes = (4, 9)
    view = QueueView(selection)
    view.show(seen)
    assert view.own == 9
    selection.classes = (2, 9)
    assert view.own == 9  # still selected
    selection.classes = (2, 5)
    assert view.own == 5
    selection.classes = (99,)  # invalid class
    assert view.own == 5
    view.on_message({"confused": True})
    assert view.own == most_confused_class(seen)
    for bad in (-2, 30):
        with pytest.raises(InputError, match="the classes are 0 to 29"):
            view.own = bad
    view.show(snapshot(classes=3, n=9))
    assert view.own < 3
    assert view.titles == ["class 0", "class 1", "class 2"]
    view.close()
    view.close()
    selection.classes = (1,)
    assert view.chosen == [99]


def test_images_are_sent_where_there_are_some(monkeypatch):
    sent = []
    view = QueueView(Selection(), picture=lambda i: None if i == 1 else b"png %d" % i)
    monkeypatch.setattr(view, "send", lambda content, buffers=None: sent.append((content, buffers)))
    view.on_message({"pictures": [0]})  # before the first snapshot
    view.show(snapshot())
    assert shown(view)["columns"]["images"]
    view.on_message({"pictures": [0, 1, 2, 120, -1]})
    assert sent == [({"pictures": [0, 2]}, [b"png 0", b"png 2"])]


def test_what_cannot_be_compared_is_not_drawn():
    view = QueueView(Selection())
    seen = snapshot(classes=1, n=5)
    view.show(seen)
    assert shown(view)["rows"] == []
    assert "there is one class" in shown(view)["line"]
    view = QueueView(Selection())
    seen = snapshot()
    view.own = 3
    view.show(seen)
    W = seen.W.copy()
    W[3] = np.nan
    view.show(Snapshot(1, seen.x, seen.y, W))
    assert view.pushed == 1


def test_the_script_does_what_its_own_tests_say(tmp_path, node):
    run_node(node, "queue.test.mjs", tmp_path / "queue.mjs", str(QueueView._esm))
