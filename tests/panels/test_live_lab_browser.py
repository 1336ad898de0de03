"""The live lab in a real JupyterLab, with comms over subshells and without, and as a page of its own by Voila."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from browsing import Notebooks, run_jupyterlab
from panels.helpers import set_theme

from workbench.cli.app import app_command

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
]
LAB = """
from workbench.panels.lab import Lab
lab = Lab(method="npcface", data="digits", dim=3, size=16)
lab
"""
SECOND = 1000  # ms


@pytest.fixture(scope="module", params=["subshells", "one thread"])
def notebooks(request, chromium, tmp_path_factory):
    """A lab with comms over subshells (JupyterLab's default), or on the main thread."""
    with run_jupyterlab(tmp_path_factory.mktemp("lab") / "home") as lab:
        if request.param == "one thread":
            folder = lab.folder.parent / "settings" / "@jupyterlab" / "services-extension"
            folder.mkdir(parents=True)
            setting = {"commsOverSubshells": "disabled"}
            (folder / "kernel-settings.jupyterlab-settings").write_text(json.dumps(setting))
        context = chromium.new_context(viewport={"width": 1500, "height": 2200})
        yield Notebooks(context, lab)
        context.close()


@pytest.fixture(scope="module")
def page(notebooks):
    """A page with the lab in its only cell."""
    opened = notebooks.open([LAB])
    opened.locator(".workbench-lab canvas").first.wait_for(timeout=30 * SECOND)
    return opened


def state(page):
    """Status, step and text of the status line."""
    text = page.locator(".workbench-state").inner_text()
    step = int(re.search(r"step ([\d,]+)", text)[1].replace(",", ""))
    return text.split(" · ")[0], step, text


def until(page, holds, seconds=20):
    """Wait until holds(state) is true; returns the state."""
    deadline = time.monotonic() + seconds
    while not holds(found := state(page)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def ink(page, nth):
    """The image of a canvas, as a data URL."""
    return page.locator(".workbench-lab canvas").nth(nth).evaluate("canvas => canvas.toDataURL()")


def wait_for_redraw(page, nth, before, seconds=20):
    """Wait until the image of a canvas differs from `before`."""
    deadline = time.monotonic() + seconds
    while ink(page, nth) == before:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)


def test_every_view_is_drawn(page, notebooks):
    assert page.locator(".workbench-lab canvas").count() >= 7
    for nth in range(page.locator(".workbench-lab canvas").count()):
        drawn = page.locator(".workbench-lab canvas").nth(nth)
        drawn.scroll_into_view_if_needed()
        box = drawn.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
    assert page.locator(".workbench-lab table tbody tr").count() >= 5
    assert not notebooks.wrong, notebooks.wrong


def test_play_moves_the_sphere_and_pause_stops_it(page):
    press(page, "Play")
    _, first, _ = until(page, lambda now: now[0] == "playing" and now[1] > 3)
    before = ink(page, 1)
    until(page, lambda now: now[1] > first + 5)
    wait_for_redraw(page, 1, before)
    press(page, "Pause")
    _, step, _ = until(page, lambda now: now[0] == "paused")
    page.wait_for_timeout(1500)
    assert state(page)[1] <= step + 1
    still = ink(page, 1)
    page.wait_for_timeout(500)
    assert ink(page, 1) == still


def test_step_by_button_and_by_key(page):
    _, step, _ = state(page)
    press(page, "Step")
    until(page, lambda now: now[1] == step + 1)
    page.locator(".workbench-lab canvas").nth(1).focus()
    page.keyboard.press("n")
    until(page, lambda now: now[1] == step + 2)
    page.keyboard.press("Space")
    until(page, lambda now: now[0] == "playing")
    page.keyboard.press("Space")
    until(page, lambda now: now[0] == "paused")


def test_a_slider_changes_the_running_loss_and_undo_takes_it_back(page):
    slider = page.get_by_label("α", exact=False).locator("visible=true").first
    slider.focus()
    before = slider.input_value()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    moved = slider.input_value()
    assert moved != before
    press(page, "Play")
    until(page, lambda now: now[0] == "playing")
    press(page, "Pause")
    until(page, lambda now: now[0] == "paused")
    page.locator(".workbench-lab canvas").nth(1).focus()
    page.keyboard.press("z")
    page.wait_for_timeout(1500)
    assert float(slider.input_value()) != float(moved)


def test_another_method_is_drawn_at_once(page):
    chosen = page.get_by_label("Method", exact=True)
    before = ink(page, 0)
    chosen.select_option("ArcFace")
    page.get_by_text("ArcFace. The boundary").first.wait_for(timeout=20 * SECOND)
    assert ink(page, 0) != before
    chosen.select_option("NPCFace")
    page.get_by_text("NPCFace. The boundary").first.wait_for(timeout=20 * SECOND)


def test_selecting_a_class_grays_out_the_rest(page):
    before = ink(page, 1)
    page.locator(".workbench-lab table tbody tr").first.click()
    wait_for_redraw(page, 1, before)


def test_a_bad_value_is_said_and_taken_back(page):
    box = page.get_by_role("spinbutton").first
    box.fill("99")
    box.press("Enter")
    page.get_by_role("alert").filter(has_text="Not possible").first.wait_for(timeout=20 * SECOND)
    assert float(box.input_value()) != 99


def test_dark_is_dark(page, request):
    set_theme(page, "Dark")
    page.wait_for_timeout(2500)
    ground = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim()")
    assert ground.lower() not in ("white", "#fff", "#ffffff")
    page.locator(".workbench-lab").screenshot(path=artefact(request, "dark"))
    set_theme(page, "Light")
    page.wait_for_timeout(2000)
    page.locator(".workbench-lab").screenshot(path=artefact(request, "light"))


def test_a_scene_plays_and_says_what_to_look_for(page):
    page.get_by_label("Scene", exact=True).select_option("No margin")
    page.get_by_text("Norm-softmax separates the classes").wait_for(timeout=30 * SECOND)
    until(page, lambda now: now[1] > 2, seconds=40)
    press(page, "Pause")


def test_a_flood_of_changes_leaves_the_page_idle_soon(page, notebooks):
    flood = """
import time
for i in range(1000):
    lab.curves.show(lab.session.tuning.composed, dict(lab.session.tuning.values) | {"lr": 0.1, "theta": 1 + i / 2000},
                    lab.snapshot.state, 1.0, 1 + i / 2000, None)
    lab.sphere.show(lab.snapshot)
"""
    page.evaluate("window.beats = 0; setInterval(() => window.beats++, 20)")
    run(page, flood)
    page.wait_for_timeout(1000)
    before = page.evaluate("window.beats")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.beats") - before > 20


def test_running_the_cell_again_leaves_one_trainer(page):
    run(page, "import threading\nlab = Lab(method='npcface', data='digits', dim=3, size=16)")
    run(page, "print(sum(t.name == 'worker of live' for t in threading.enumerate()) <= 1, 'trainer')")
    page.get_by_text("True trainer").last.wait_for(timeout=20 * SECOND)


def test_nothing_was_logged_or_asked(page, notebooks):
    assert not notebooks.wrong, notebooks.wrong


def run(page, source):
    """Run a new cell below the last one."""
    page.evaluate(
        """async source => {
            const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
            await sessionContext.session.kernel.requestExecute({ code: 'pass' }).done;
            const app = window.jupyterapp;
            content.activeCellIndex = content.widgets.length - 1;
            await app.commands.execute('notebook:insert-cell-below');
            content.activeCell.model.sharedModel.setSource(source);
            await app.commands.execute('notebook:run-cell');
        }""",
        source,
    )


def artefact(request, name):
    """The path of a screenshot."""
    folder = request.config.rootpath / "tests" / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder / f"lab_{name}.png"


def test_voila_serves_the_lab_with_a_token(chromium, tmp_path):
    settings = {"method": "arcface", "data": "digits", "dim": 3, "size": 16}
    arguments, address = app_command(settings, port=8866, browser=False)
    server = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bare = address.split("?")[0]
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), urllib.request.urlopen(bare, timeout=30) as answer:
                assert urlsplit(answer.url).path == "/login", "the page opened without its token"
                break
            assert time.monotonic() < deadline
            assert server.poll() is None
            time.sleep(0.5)
        page = chromium.new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.locator(".workbench-lab canvas").first.wait_for(timeout=90 * SECOND)
        page.get_by_role("button", name="Play", exact=True).click()
        until(page, lambda now: now[1] > 2, seconds=60)
        assert not wrong, wrong
        page.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_the_commands_are_those_of_this_python():
    arguments, address = app_command({"method": "arcface"}, port=9000, browser=False)
    assert arguments[0] == sys.executable
    assert address.startswith("http://127.0.0.1:")
