"""SphereView: frames, messages of the browser, projections; its geometry in node; and the browser."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from panels.helpers import join_threads, run_node, set_theme

from workbench.core.angles import format_angle
from workbench.core.arrays import unit
from workbench.core.errors import InputError
from workbench.core.record import Snapshot
from workbench.panels.kit.selection import Selection
from workbench.panels.sphere_view import FINEST, SphereView
from workbench.probes.projections import log_map


def snapshot(dim: int, classes: int = 5, n: int = 60, step: int = 3, seed: int = 0) -> Snapshot:
    rng = np.random.default_rng(seed)
    W, y = rng.normal(size=(classes, dim)), np.random.default_rng(1).integers(0, classes, n)
    return Snapshot(step, W[y] + 0.9 * rng.normal(size=(n, dim)), y, W)


def shown(view: SphereView) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    """The last frame: head, points, centers, misclassified."""
    head, (points, centers, wrong) = view.newest
    k = 3 if head["kind"] == "sphere" else 2
    found = np.frombuffer(points, np.int16).reshape(-1, k) * head["reach"] / FINEST
    bits = np.unpackbits(np.frombuffer(wrong, np.uint8))[: len(found)]
    return head, found, np.frombuffer(centers, np.float32).reshape(-1, centers and k), bits.astype(bool)


def watched(view: SphereView) -> list[dict]:
    """The messages to the browser."""
    sent: list[dict] = []
    view.send = lambda content, buffers=None: sent.append(content)
    return sent


@pytest.fixture
def selection():
    return Selection()


@pytest.fixture
def view(selection):
    return SphereView(selection, names=["Ann", "Bob", "Cid", "Dee", "Eva"], of=7000)


@pytest.mark.parametrize(("dim", "kind"), [(2, "circle"), (3, "sphere")])
def test_two_and_three_numbers_are_shown_as_they_are(view, dim, kind):
    seen = snapshot(dim)
    view.show(seen)
    head, points, centers, wrong = shown(view)
    assert (head["kind"], view.projection) == (kind, kind)
    assert np.allclose(points, unit(seen.x), atol=1 / FINEST)
    assert np.allclose(centers, unit(seen.W))
    assert np.array_equal(wrong, seen.cos.argmax(axis=1) != seen.y)
    assert wrong.any()
    assert head["line"].startswith(f"step 3 · 60 samples of 7,000, {wrong.sum()} misclassified")
    assert np.array_equal(np.frombuffer(view.labels, np.int32), seen.y)
    assert view.titles == ["Ann", "Bob", "Cid", "Dee", "Eva"]


def test_labels_travel_only_when_they_change(view):
    view.show(snapshot(3))
    changes = []
    view.observe(lambda change: changes.append(change["name"]))
    view.show(snapshot(3, step=4, seed=2))
    assert changes == []
    view.show(snapshot(3, n=61, step=5))
    assert "labels" in changes


def test_principal_axes_stay_frozen_until_they_are_taken_anew(view):
    view.show(snapshot(16))
    _, before, *_ = shown(view)
    later = snapshot(16, step=9, seed=5)
    view.show(later)
    head, frozen, *_ = shown(view)
    assert "principal axes of step 3" in head["line"]
    view.show(snapshot(16))
    assert np.allclose(shown(view)[1], before, atol=1e-3)  # the same axes
    view.show(later)
    view.freeze()
    head, anew, *_ = shown(view)
    assert "principal axes of step 9" in head["line"]
    assert anew.var(axis=0).sum() > frozen.var(axis=0).sum()  # they fit the present snapshot
    share = anew.var(axis=0).sum() / unit(later.x).var(axis=0).sum()
    assert f"keep {share:.0%} of the variance" in head["line"]


def test_two_classes_are_isolated_in_their_plane(view, selection):
    seen = snapshot(16)
    view.show(seen)
    view.isolate(3, 1)
    head, points, centers, _ = shown(view)
    assert (view.projection, view.pair, selection.classes) == ("plane", (3, 1), (1, 3))
    assert selection.samples == tuple(np.flatnonzero(np.isin(seen.y, (1, 3))))
    assert np.allclose(np.hypot(*centers[[1, 3]].T), 1, atol=1e-6)
    assert centers[1, 0] > 0 > centers[3, 0]
    x, W = unit(seen.x), unit(seen.W)
    right = x @ W[1] > x @ W[3]
    assert np.array_equal(points[:, 0] > 0, right)
    angle = np.arccos(W[1] @ W[3])
    assert f"Dee and Bob {format_angle(angle)} apart" in head["line"]


def test_without_a_wish_the_nearest_centers_are_isolated(view, selection):
    seen = snapshot(16)
    view.show(seen)
    cos = unit(seen.W) @ unit(seen.W).T - 2 * np.eye(5)
    view.on_message({"press": "isolate"})
    assert cos[view.pair] == cos.max()
    selection.classes = (2,)
    view.on_message({"press": "isolate"})
    assert view.pair == (2, int(cos[2].argmax()))
    selection.classes = (0, 4)
    view.on_message({"press": "isolate"})
    assert view.pair == (0, 4)


def test_the_tangent_plane_is_the_log_map_in_three_dimensions(view):
    seen = snapshot(3)
    view.show(seen)
    view.projection, view.at = "tangent", 2
    head, points, centers, _ = shown(view)
    x, at = unit(seen.x), unit(seen.W)[2]
    assert np.allclose(np.linalg.norm(points, axis=1), np.arccos(x @ at), atol=1e-3)
    assert np.allclose(np.linalg.norm(points, axis=1), np.linalg.norm(log_map(x, at), axis=1), atol=1e-3)
    assert np.allclose(centers[2], 0)
    assert head["angles"]
    assert "keeps 100% of the variance" in head["line"]


def test_a_map_is_drawn_on_demand_started_from_the_one_before_and_shown_as_old(view, monkeypatch):
    starts = []

    def umap_map(x, start=None):
        starts.append(start)
        return np.arange(2.0 * len(x)).reshape(-1, 2)

    monkeypatch.setattr("workbench.panels.sphere_view.umap_map", umap_map)
    view.show(snapshot(16))
    view.projection = "umap"
    assert shown(view)[0]["empty"]
    view.on_message({"press": "map"})
    join_threads("map")
    view.show(snapshot(16, step=8, seed=4))
    head, points, *_ = shown(view)
    assert "step 8 · " in head["line"]
    assert "UMAP of step 3 (took " in head["line"]
    assert len(points) == 60
    assert view.note == ""
    view.draw_map().join(10)
    assert starts[0] is None
    assert np.allclose(starts[1].mean(axis=0), 0)
    view.show(snapshot(16, n=50))  # another sample has no map
    assert shown(view)[0]["empty"]


def test_a_map_of_another_sample_of_the_same_size_is_neither_shown_nor_started_from(view, monkeypatch):
    starts, late = [], threading.Event()

    def umap_map(x, start=None):
        starts.append(start)
        assert late.wait(10)
        return np.arange(2.0 * len(x)).reshape(-1, 2)

    monkeypatch.setattr("workbench.panels.sphere_view.umap_map", umap_map)
    seen = snapshot(16)
    other = replace(seen, y=seen.y[::-1].copy())
    view.show(seen)
    view.projection = "umap"
    mapping = view.draw_map()
    view.show(other)  # while the map is computed
    late.set()
    mapping.join(10)
    assert "the sample has changed" in view.note
    assert shown(view)[0]["empty"]
    view.draw_map().join(10)
    assert "took" in shown(view)[0]["line"]
    view.show(seen)
    assert shown(view)[0]["empty"]
    view.draw_map().join(10)
    assert starts == [None, None, None]


def test_a_map_that_fails_says_so(view, monkeypatch):
    def umap_map(x, start=None):
        raise InputError("too few vectors")

    monkeypatch.setattr("workbench.panels.sphere_view.umap_map", umap_map)
    view.show(snapshot(16))
    view.draw_map().join(10)
    assert view.note == "UMAP failed: too few vectors"


def test_the_selection_goes_both_ways(view, selection):
    seen = snapshot(3)
    view.show(seen)
    assert view.lit == b""
    view.on_message({"samples": [4, 2]})
    assert selection.samples == (2, 4)
    assert np.flatnonzero(np.unpackbits(np.frombuffer(view.lit, np.uint8))).tolist() == [2, 4]
    view.on_message({"classes": [1]})
    assert (selection.classes, view.chosen) == ((1,), [1])
    assert selection.samples == tuple(np.flatnonzero(seen.y == 1))
    selection.samples = ()
    assert np.array_equal(np.unpackbits(np.frombuffer(view.lit, np.uint8))[:60], seen.y == 1)
    selection.clear()
    assert (view.lit, view.chosen) == (b"", [])
    view.close()
    selection.classes = (0,)
    assert view.chosen == []


def test_hovering_tells_cosines_to_the_own_and_the_nearest_other_center(selection):
    view = SphereView(selection, picture=lambda i: b"png" if i == 7 else None)
    seen = snapshot(16)
    view.show(seen)
    sent = watched(view)
    view.on_message({"hover": 7})
    view.on_message({"hover": 60})
    cos, own = seen.cos[7], seen.y[7]
    other = np.where(np.arange(5) == own, -2, cos).argmax()
    assert [s["about"] for s in sent] == [7]
    first, second, third = sent[0]["text"].split("\n")
    assert first == f"class {own}, sample 7"
    assert second.startswith(f"own center: cos {cos[own]:.3f}, {np.degrees(np.arccos(cos[own])):.1f}°")
    assert third.startswith(f"nearest other center, class {other}: cos {cos[other]:.3f}")
    assert sent[0]["image"] == "data:image/png;base64,cG5n"


def test_of_very_many_classes_only_the_centers_of_the_sample_are_sent(selection):
    view = SphereView(selection)
    rng = np.random.default_rng(0)
    seen = Snapshot(0, rng.normal(size=(20, 3)), np.repeat([3, 700], 10), rng.normal(size=(900, 3)))
    view.show(seen)
    head, _, centers, _ = shown(view)
    assert view.ids == [3, 700]
    assert np.array_equal(np.frombuffer(view.labels, np.int32), np.repeat([0, 1], 10))
    assert np.allclose(centers, unit(seen.W)[[3, 700]])
    assert not head["all"]  # no boundaries without all centers


def test_other_dimensions_offer_other_projections(view):
    view.show(snapshot(16))
    assert [name for name, _ in view.offered] == ["plane", "pca", "tangent", "umap"]
    view.projection, view.pair, view.at = "plane", (3, 4), 4
    pushed = view.pushed
    view.show(snapshot(2, classes=3))
    assert view.pushed == pushed + 1  # drawn once, with all settings
    assert (view.projection, view.pair, view.at) == ("circle", (0, 1), 0)
    with pytest.raises(InputError, match="unknown projection 'pca'"):
        view.projection = "pca"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda view: setattr(view, "at", 5), "at = 5: different classes of 0 to 4"),
        (lambda view: setattr(view, "pair", (2, 2)), r"pair = \(2, 2\): different classes"),
        (lambda view: setattr(view, "pair", (-1, 2)), r"pair = \(-1, 2\): different classes"),
        (lambda view: setattr(view, "projection", "sphre"), "unknown projection 'sphre'"),
        (lambda view: view.show(snapshot(1)), r"x has shape \(60, 1\); a direction needs at least 2 dimensions"),
    ],
)
def test_what_cannot_be_shown_is_said_and_changes_nothing(view, wrong, words):
    view.show(snapshot(16))
    before = view.newest
    with pytest.raises(InputError, match=words):
        wrong(view)
    assert view.newest == before


def test_before_anything_is_shown(view):
    view.on_message({"hover": 3})
    view.projection = "plane"
    with pytest.raises(InputError, match="nothing is shown yet"):
        view.isolate()


def test_a_wish_that_cannot_be_granted_is_said_in_the_page(view):
    view.show(snapshot(3, classes=1))
    view.on_message({"press": "isolate"})
    assert view.note == "there is one class; isolating needs two"


def test_what_is_not_finite_leaves_the_last_picture(view):
    view.show(snapshot(3))
    before = view.newest
    view.show(Snapshot(4, np.full((60, 3), np.nan), snapshot(3).y, snapshot(3).W))
    assert view.newest == before


def test_threads_may_show_and_select_at_once(view, selection):
    errors = []

    def guarded(action):
        try:
            for i in range(40):
                action(i)
        except Exception as error:
            errors.append(error)

    actions = (
        lambda i: view.show(snapshot(3, step=i, n=60 + i % 3)),
        lambda i: view.on_message({"classes": [i % 5]}),
        lambda i: setattr(view, "projection", ("sphere", "tangent", "pca")[i % 3]),
    )
    view.show(snapshot(3))
    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


def slerp(a: np.ndarray, b: np.ndarray, s: float) -> np.ndarray:
    theta = np.arccos((a * b).sum(axis=1, keepdims=True))
    return (np.sin((1 - s) * theta) * a + np.sin(s * theta) * b) / np.sin(theta)


def voronoi(W: np.ndarray) -> dict:
    """The edges of scipy's spherical Voronoi diagram: the length of each pair of neighboring centers."""
    from scipy.spatial import SphericalVoronoi

    found = SphericalVoronoi(W)
    found.sort_vertices_of_regions()
    sides: dict[tuple, list] = {}
    for i, region in enumerate(found.regions):
        for a, b in zip(region, region[1:] + region[:1], strict=True):
            sides.setdefault((min(a, b), max(a, b)), []).append(i)
    edges = {}
    for (a, b), (i, j) in sides.items():
        middle = unit(found.vertices[a] + found.vertices[b])
        length = np.arccos(np.clip(found.vertices[a] @ found.vertices[b], -1, 1))
        edges[f"{i} {j}"] = length if middle @ W[i] > (W @ middle).max() - 1e-9 else 2 * np.pi - length
    return {"centers": W.ravel().tolist(), "edges": edges}


def changes(directions: np.ndarray) -> list[float]:
    """Angles at which the nearest direction changes, on a fine grid."""
    grid = np.linspace(0, 2 * np.pi, 20_001)
    nearest = np.cos(grid[:, None] - directions).argmax(axis=1)
    return grid[1:][nearest[1:] != nearest[:-1]].tolist()


def references() -> dict:
    """The expected results of the JavaScript, from numpy and scipy."""
    rng = np.random.default_rng(0)
    points, (R, _) = rng.normal(size=(20, 3)), np.linalg.qr(rng.normal(size=(3, 3)))
    R = R * np.linalg.det(R)
    x, y, z = R @ points.T
    (c, s), (d, t) = ((np.cos(a), np.sin(a)) for a in (0.3, -0.7))
    turn = np.array([[1, 0, 0], [0, d, -t], [0, t, d]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    ends = {k: (unit(rng.normal(size=(9, k))), unit(rng.normal(size=(9, k)))) for k in (2, 3)}
    on_circle, rows = unit(rng.normal(size=(200, 2))), rng.integers(0, 3, 200)
    around = np.arctan2(on_circle[:, 1], on_circle[:, 0]) % (2 * np.pi)
    counts = [np.histogram(around[rows == j], bins=24, range=(0, 2 * np.pi))[0].tolist() for j in range(3)]
    screen, depth, pointer = rng.uniform(0, 100, (80, 2)), rng.normal(size=80), rng.uniform(0, 100, (30, 2))
    off = np.where(depth >= 0, np.linalg.norm(pointer[:, None] - screen, axis=2), np.inf)
    corner, far = np.array([20, 10]), np.array([80, 70])
    bits = rng.integers(0, 2, 21)
    return {
        "placed": {
            "points": points.ravel().tolist(),
            "rotation": R.ravel().tolist(),
            "x": (300 + 150 * x).tolist(),
            "y": (200 - 150 * y).tolist(),
            "z": z.tolist(),
        },
        "turned": (turn @ R).ravel().tolist(),
        "slerp": {
            k: {
                "from": a.ravel().tolist(),
                "to": b.ravel().tolist(),
                "theta": np.arccos((a * b).sum(axis=1)).tolist(),
                "s": [0.1, 0.5, 0.9],
                "way": [slerp(a, b, s).ravel().tolist() for s in (0.1, 0.5, 0.9)],
            }
            for k, (a, b) in ends.items()
        },
        "voronoi": [voronoi(unit(rng.normal(size=(m, 3)))) for m in (5, 7, 12, 60)],
        "circle": [
            {"directions": a.tolist(), "changes": changes(a)} for a in (rng.uniform(-3, 3, m) for m in (2, 3, 9))
        ],
        "rose": {
            "points": on_circle.ravel().tolist(),
            "rows": rows.tolist(),
            "classes": 3,
            "bins": 24,
            "counts": counts,
        },
        "hit": {
            "x": screen[:, 0].tolist(),
            "y": screen[:, 1].tolist(),
            "z": depth.tolist(),
            "pointer": pointer.tolist(),
            "nearest": np.where(off.min(axis=1) < 12, off.argmin(axis=1), -1).tolist(),
            "polygon": [[20, 10], [80, 10], [80, 70], [20, 70]],
            "caught": np.flatnonzero(((screen > corner) & (screen < far)).all(axis=1) & (depth >= 0)).tolist(),
        },
        "bits": {"bytes": np.packbits(bits).tolist(), "bits": bits.tolist()},
    }


def test_the_geometry_in_the_browser_is_numpys(tmp_path, node):
    reference = tmp_path / "reference.json"
    reference.write_text(json.dumps(references()), encoding="utf-8")
    run_node(node, "sphere.test.mjs", tmp_path / "sphere.mjs", str(SphereView._esm), REFERENCE=str(reference))


SHOW = """
import ipywidgets, numpy as np
from workbench.panels.kit.selection import Selection
from workbench.panels.sphere_view import SphereView
from workbench.core.record import Snapshot
rng = np.random.default_rng(0)
W, y = rng.normal(size=(6, 3)), rng.integers(0, 6, 600)
selection = Selection()
said = ipywidgets.Label("nothing")
selection.observe(lambda _: setattr(said, "value", f"{len(selection.samples)} of {selection.classes}"))
view = SphereView(selection)
for step in range(3):
    view.show(Snapshot(step, W[y] + 0.5 * rng.normal(size=(600, 3)), y, W))
ipywidgets.VBox([said, view])
"""


@pytest.mark.browser
def test_the_sphere_in_jupyterlab(open_notebook, artefacts):
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # for a busy machine
    page = open_notebook([SHOW])
    line, canvas = page.locator(".workbench-sphere-line"), page.locator(".workbench-live canvas")
    said, tip = page.locator(".widget-label").first, page.locator(".workbench-tip")
    expect(line).to_contain_text("step 2 · 600 samples")
    canvas.scroll_into_view_if_needed()
    page.screenshot(path=artefacts / "sphere_light.png")

    # Keyboard only: select the first center, clear the selection.
    canvas.focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("of (0,)")
    page.screenshot(path=artefacts / "sphere_selected.png")
    page.keyboard.press("Escape")
    expect(said).to_contain_text("0 of ()")

    # Pointer: a lasso around the front side, a tooltip with text from the kernel.
    area = canvas.bounding_box()
    middle = (area["x"] + area["width"] / 2, area["y"] + area["height"] / 2 + 13)
    corners = [(-220, -220), (220, -220), (220, 220), (-220, 220)]
    page.mouse.move(middle[0] - 220, middle[1] - 220)
    page.keyboard.down("Shift")
    page.mouse.down()
    for dx, dy in corners:
        page.mouse.move(middle[0] + dx, middle[1] + dy, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(said).not_to_contain_text("0 of ()")
    assert 0 < int(said.inner_text().split()[0]) < 600  # not those on the back side
    page.get_by_role("button", name="Clear selection").click()
    expect(said).to_contain_text("0 of ()")
    for dx in range(-150, 150, 3):  # until the pointer is on a point
        page.mouse.move(middle[0] + dx, middle[1] + 40)
        if tip.is_visible() and "sample" in tip.inner_text():
            break
    expect(tip).to_contain_text("nearest other")

    page.get_by_role("button", name="Isolate two classes").press("Enter")
    expect(line).to_contain_text("the plane keeps")
    page.get_by_label("Projection").select_option(label="Tangent plane at a center")
    expect(line).to_contain_text("tangent plane at class 0")
    set_theme(page, "Dark")
    page.wait_for_timeout(1000)
    page.screenshot(path=artefacts / "sphere_dark.png")
