"""CurvesView: curves, ladders, messages; its geometry in node; and the browser."""

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from panels.helpers import run_node

from workbench.core.errors import InputError
from workbench.core.parameters import Param, param
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.curves.ladder import POINTS, ladder, moves
from workbench.margins import ArcFace, CurricularFace, Margin, NPCFace
from workbench.methods import METHODS
from workbench.methods.method import as_method
from workbench.panels import curves_view as live
from workbench.panels.curves_view import CurvesView
from workbench.panels.kit import stream

THETA = math.radians(80)
LR = {"lr": Param("η", "learning rate", low=1e-5, high=1.0)}


@pytest.fixture(autouse=True)
def without_rest(monkeypatch):
    """No pauses, which matter during training only; and a browser that acknowledges every frame."""
    monkeypatch.setattr(live, "QUIET", 0.0)
    monkeypatch.setattr(live, "REST_RUNG", 0.0)
    monkeypatch.setattr(stream, "IN_FLIGHT", math.inf)
    monkeypatch.setattr(stream, "TIMEOUT", math.inf)


class CurvesHarness:
    """A view that applies every change, and the messages it sends. watched: whether a browser displays it."""

    def __init__(self, key: str = "arcface", watched: bool = True, method: object = None) -> None:
        self.method = method or METHODS[key]
        self.values = self.method.settings(next(iter(self.method.presets))) | {"lr": 0.1}
        self.state: dict[str, float] = {}
        self.sent: list[dict] = []
        self.view = CurvesView(self.change, LR)
        self.view.send = lambda content, buffers=None: self.sent.append(content)
        if watched:
            self.send(ready=True)
        self.show()

    def send(self, **content: object) -> None:
        """Send a message of the browser to the view."""
        self.view.receive(content)

    def change(self, change: dict) -> None:
        values = self.values | change
        self.method.margin_of(values)
        self.values = values
        self.show()

    def show(self, hardness: float | None = None) -> None:
        self.view.show(self.method, self.values, self.state, None, THETA, hardness)

    def frames(self) -> list[dict]:
        assert self.view.wait(60)
        return [content for content in self.sent if "frame" in content]


def test_the_exact_curves_are_drawn():
    harness = CurvesHarness("npcface", watched=False)
    assert harness.view.wait(60)
    result, margin = harness.view.result, METHODS["npcface"].margin_of(harness.values)
    assert np.array_equal(result.curve.T, curve(margin, THETA, len(result.curve.phi)).T)
    assert result.actual == pytest.approx(boundaries(margin, THETA))
    assert result.ideal == pytest.approx(ideal_boundaries(margin, THETA))
    assert repr(harness.view) == f"CurvesView: {result.words()}"


def test_nobody_looks_nothing_is_built_or_sent():
    harness = CurvesHarness("npcface", watched=False)
    assert harness.view.wait(60)
    assert harness.sent == []
    assert harness.view.newest[0]["ladders"] == {}


def test_controls_come_from_what_the_parts_declare():
    controls = {c["name"]: c for c in CurvesHarness("npcface").frames()[-1]["controls"]}
    front = [name for name, c in controls.items() if c["front"]]
    assert front == ["m0", "m1", "t", "alpha", "m_mask", "mask", "guard"]
    assert controls["m0"] | {"unit": "rad", "low": 0.0, "high": 1.5, "factors": False} == controls["m0"]
    assert "hard" in controls["mask"]["meaning"]
    assert "misclassified" in controls["mask"]["choices"]
    assert list(controls)[-2:] == ["s", "lr"]
    assert controls["lr"]["factors"]


def test_the_handle_is_the_first_parameter_that_moves_T():
    assert CurvesHarness("npcface").frames()[-1]["handle"] == "m0"
    assert CurvesHarness("cosface").frames()[-1]["handle"] == "m"
    assert CurvesHarness("norm_softmax").frames()[-1]["handle"] == ""


def test_ladders_are_announced_and_sent_when_asked_for():
    harness = CurvesHarness("curricularface")
    head = harness.frames()[-1]
    assert list(head["ladders"]) == ["m", "momentum", "topk"]  # the last two do not move a curve
    harness.send(ladders=["m", "momentum", "unknown"])
    (sent,) = [content for content in harness.sent if "ladder" in content]
    assert (sent["ladder"], sent["version"], sent["theta"]) == ("m", head["ladders"]["m"], THETA)
    assert len(sent["values"]) == len(sent["marks"])


def test_a_ladder_outlives_its_own_parameter_and_no_other():
    harness = CurvesHarness("npcface")
    before = harness.frames()[-1]["ladders"]
    harness.change({"m0": 0.6})
    after = harness.frames()[-1]["ladders"]
    assert after["m0"] == before["m0"]
    assert after["alpha"] > before["alpha"]


def test_a_state_that_drifts_rebuilds_only_what_the_eye_can_tell():
    harness = CurvesHarness("curricularface")
    harness.state = {"t": 0.3}
    harness.show()
    first = harness.frames()[-1]["ladders"]["m"]
    harness.state = {"t": 0.301}
    harness.show()
    assert harness.frames()[-1]["ladders"]["m"] == first
    assert harness.view.result.curve.state == {"t": 0.301}
    harness.state = {"t": 0.5}
    harness.show()
    assert harness.frames()[-1]["ladders"]["m"] > first
    assert harness.frames()[-1]["state"] == "t = 0.5"


def test_the_grabbed_ladder_is_built_first():
    harness = CurvesHarness("npcface", watched=False)
    assert harness.view.wait(60)
    harness.send(grab="alpha")
    harness.send(ready=True)
    harness.send(ladders=[])
    versions = harness.frames()[-1]["ladders"]
    assert min(versions, key=versions.get) == "alpha"


def test_the_newest_setting_wins():
    harness = CurvesHarness("npcface")
    for m in np.linspace(0.1, 0.5, 200):
        harness.change({"m0": float(m)})
    assert harness.view.wait(60)
    assert harness.view.result.parameters["m0"] == 0.5
    assert harness.view.pushed < 100


def test_the_ghost_is_the_setting_before_the_control_moved():
    harness = CurvesHarness()
    assert harness.view.wait(60)  # only a drawn setting can become the ghost
    for m in (0.4, 0.3):
        harness.change({"m": m})
        assert harness.view.wait(60)
    assert harness.view.ghost.parameters["m"] == 0.5
    harness.send(grab="m")
    harness.change({"m": 0.2})
    assert harness.frames()[-1]["before"][2] == pytest.approx([(THETA - 0.3) / 2])
    assert harness.view.ghost.parameters["m"] == 0.3


def test_a_change_is_answered_and_a_bad_one_in_one_line():
    harness = CurvesHarness()
    harness.send(set={"m": 0.4}, id="a:1")
    assert {"answered": "a:1"} in harness.sent
    assert harness.frames()[-1]["values"]["m"] == 0.4
    harness.send(set={"m": 9}, id="a:2")
    (answer,) = [content for content in harness.sent if content.get("answered") == "a:2"]
    assert answer["problem"] == "Not possible: ArcFace: m = 9 is outside [0, 1.5]"
    assert harness.frames()[-1]["values"]["m"] == 0.4


def test_values_that_the_margin_refuses_are_the_callers():
    harness = CurvesHarness()
    harness.values["m"] = 9
    with pytest.raises(InputError, match="m = 9"):
        harness.show()


def test_the_live_state_is_marked():
    harness = CurvesHarness("npcface")
    harness.show(hardness=0.5)
    head = harness.frames()[-1]
    assert head["hard"] == pytest.approx([THETA - math.pi / 3, 0.5])
    assert "mean hard cosine 0.500" in head["live"]


@dataclasses.dataclass(frozen=True)
class Halved(Margin):
    """A user-defined margin that fails for k > 0.9."""

    k: float = param(0.5, "k", "factor on the target's cosine", low=0.0, high=1.0)

    def T(self, c, ctx, rows):
        if self.k > 0.9:
            raise RuntimeError("boom")
        return self.k * c


def test_a_margin_of_ones_own_has_its_ladder_where_it_works_and_its_error_in_words():
    mine = as_method(Halved())
    harness = CurvesHarness(method=mine)
    assert harness.frames()[-1]["words"]
    harness.change({"k": 0.95})
    head = harness.frames()[-1]
    assert "Halved.T: RuntimeError: boom" in head["problem"]
    harness.change({"k": 0.4})
    assert harness.frames()[-1]["problem"] == ""


def reference(margin: Margin, name: str, state: dict[str, float]) -> dict:
    """A ladder as sent to the browser, and the exact curves halfway between its rungs."""
    rungs = list(ladder(margin, name, margin.parameters()[name], THETA, state))
    between = []
    for value in [(a.value + b.value) / 2 for a, b in itertools.pairwise(rungs)][::4]:
        same = dataclasses.replace(margin, **{name: value})
        c = curve(same, THETA, POINTS, state)
        found = (c.T_jumps, c.N_jumps, boundaries(same, THETA, state), ideal_boundaries(same, THETA, state))
        marks = [at.tolist() for at in found]
        between.append({"value": value, "T": c.T.tolist(), "N": c.N.tolist(), "marks": marks})
    sent = {"theta": THETA, "values": [r.value for r in rungs], "movesT": moves(rungs)[0]}
    sent |= {"T": [r.T.tolist() for r in rungs], "N": [r.N.tolist() for r in rungs]}
    sent["marks"] = [[at.tolist() for at in (r.T_jumps, r.N_jumps, r.actual, r.ideal)] for r in rungs]
    return {"name": f"{type(margin).__name__} {name}", "ladder": sent, "between": between}


def test_the_geometry_in_node(tmp_path, node):
    wanted = [(ArcFace(), "m", {}), (NPCFace(), "m0", {}), (NPCFace(), "alpha", {})]
    wanted += [(NPCFace(), "m_mask", {}), (CurricularFace(), "m", {"t": 0.3})]
    expected = tmp_path / "numbers.json"
    expected.write_text(json.dumps({"ladders": [reference(*w) for w in wanted]}))
    run_node(node, "curves.test.mjs", tmp_path / "curves.mjs", str(CurvesView._esm), NUMBERS=str(expected))


CELL = """
import math
from workbench.methods import METHODS
from workbench.panels.curves_view import CurvesView
from workbench.panels.kit import stream
method, got = METHODS["curricularface"], []
values = method.settings()
def show():
    view.show(method, values, {"t": 0.3}, None, math.radians(80), 0.42)
def changed(change):
    method.margin_of(values | change)
    got.append(change)
    values.update(change)
    show()
view = CurvesView(changed)
show()
view"""
# A hash of the canvas.
PICTURE = """() => {
  const canvas = document.querySelector(".workbench-curves canvas");
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return all.reduce((sum, v) => (sum * 31 + v) % 1000000007, 7);
}"""
# The curve can be grabbed when there is a ladder.
GRABBABLE = """() => document.querySelector(".workbench-curves canvas").getAttribute("role") === "slider" """


def height_of_T(page: Any, x: float) -> float:
    """Where the solid curve T is in the canvas, in pixels: the pointer changes there."""
    at = page.locator(".workbench-curves canvas").bounding_box()
    for y in range(40, 340, 6):
        page.mouse.move(at["x"] + x, at["y"] + y)
        if page.evaluate("document.querySelector('.workbench-curves canvas').style.cursor") == "grab":
            return y
    raise AssertionError("no place of the canvas grabs the curve")


@pytest.mark.browser
def test_in_the_browser(open_notebook, artefacts):
    page = open_notebook([CELL])
    slider = page.get_by_role("slider", name="m: margin added to the target angle [rad]", exact=True)
    number = page.get_by_role("spinbutton", name="m: margin added to the target angle [rad], as a number")
    words, problem = page.locator(".workbench-curves-words"), page.locator(".workbench-curves-problem")
    words.get_by_text("The boundary lies at").wait_for()
    page.wait_for_function(GRABBABLE)
    page.wait_for_timeout(500)

    # Dragging draws from the ladder while the kernel is busy.
    page.evaluate(
        "void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute("
        "{code: 'import time; time.sleep(3)'})"
    )
    before, box = page.evaluate(PICTURE), slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] / 2, steps=5)
    page.wait_for_timeout(200)
    assert page.evaluate(PICTURE) != before
    page.mouse.up()
    dragged = float(number.input_value())
    assert 0.7 < dragged < 0.9
    words.get_by_text(f"ideal {math.degrees((THETA - dragged) / 2):.1f}").wait_for()
    page.screenshot(path=artefacts / "curves_light.png")

    # An invalid value is reported, and the control is reverted.
    number.fill("9")
    number.press("Enter")
    problem.get_by_text("CurricularFace: m = 9 is outside [0, 1.5]").wait_for()
    assert problem.get_attribute("role") == "alert"
    page.wait_for_function(f"() => document.querySelector('.workbench-curves input[type=number]').value == {dragged}")

    # Keyboard only, on the curve; then drag T.
    canvas = page.get_by_role("slider", name="drag T, or press arrow keys")
    canvas.focus()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('.workbench-curves input[type=number]').value == 0")
    words.get_by_text("halfway").or_(words.get_by_text("ideal 40.0")).first.wait_for()
    assert canvas.get_attribute("aria-valuetext") == "m = 0 rad = 0.0°"
    page.wait_for_timeout(500)
    at = canvas.bounding_box()
    page.wait_for_function("() => !document.querySelector('.workbench-curves-stale')")
    x = at["x"] + at["width"] * 0.3
    y = at["y"] + height_of_T(page, at["width"] * 0.3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=5)
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('.workbench-curves input[type=number]').value > 0.1")
    words.get_by_text("ideal 40.0").wait_for(state="detached")
