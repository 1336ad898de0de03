"""Damaged or edited files: reading them succeeds or raises InputError, and never another exception."""

import copy
import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.compare.plan import Plan, prepare
from workbench.compare.variants import Variant
from workbench.core.errors import InputError
from workbench.core.files import read_json, write_json
from workbench.core.formats import RUN
from workbench.core.record import Run
from workbench.core.schema import DEPTH, Integer, ListOf, MapOf, Maybe, Number, Table, Text, check
from workbench.data import manifest
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.evaluate import evaluate
from workbench.training.fit import Job
from workbench.training.live.replay import parse_record, record
from workbench.training.live.session import LiveSession
from workbench.training.run import train

SMALL = Config(data="digits", size=16, dim=8, steps=3, batch=8, test=0.4, snapshots=2, device="cpu", method="arcface")
FORM = Table(
    {"lr": Number(above=0), "name": Maybe(Text()), "list": ListOf(Integer(0, 9)), "map": MapOf()}, frozenset({"map"})
)
RIGHT = {"lr": 0.1, "name": None, "list": [1, 2]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": "x"}, "FILE: lr is 'x'; expected a number > 0"),
        ({"lr": True}, "FILE: lr is True; expected a number > 0"),
        ({"lr": 0}, "FILE: lr is 0; expected a number > 0"),
        ({"name": 3}, "FILE: name is 3; expected text or null"),
        ({"name": "a\0"}, r"FILE: name is 'a\x00'; expected text or null"),
        ({"list": {}}, "FILE: list is {}; expected a list"),
        ({"list": [1, 10]}, "FILE: list[1] is 10; expected a whole number from 0 to 9"),
        ({"lrr": 1}, "FILE: unknown field 'lrr'; did you mean 'lr'?"),
        ({"map": {"a": {"b": 10**400}}}, "FILE: map.a.b is"),
    ],
)
def test_the_error_names_the_field_and_what_is_expected(change, words):
    assert check(RIGHT, FORM, "FILE") == RIGHT
    with pytest.raises(InputError) as caught:
        check(RIGHT | change, FORM, "FILE")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_missing_field_and_deep_nesting_are_named():
    with pytest.raises(InputError, match="FILE: 'lr' is missing; expected a number > 0"):
        check({"name": None, "list": []}, FORM, "FILE")
    deep = []
    for _ in range(DEPTH + 5):
        deep = [deep]
    with pytest.raises(InputError, match="is nested more than 20 deep"):
        check(RIGHT | {"map": {"a": deep}}, FORM, "FILE")
    with pytest.raises(InputError, match=r"FILE: the content is \[\]; expected an object"):
        check([], RUN, "FILE")


def test_json_has_no_nan_and_old_files_with_nan_are_read(tmp_path):
    value = {"a": float("nan"), "b": [float("inf"), torch.tensor(2.5)], "c": torch.arange(2).numpy(), 1: True}
    write_json(tmp_path / "x.json", value)

    def refuse(name):
        raise AssertionError(name)

    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {"a": None, "b": [None, 2.5], "c": [0, 1], "1": True}
    (tmp_path / "old.json").write_text('\ufeff{"a": NaN, "b": Infinity}', encoding="utf-8")
    assert read_json(tmp_path / "old.json") == {"a": None, "b": None}


# ---- random changes of files -----------------------------------------------------------------------------------------

ODD = (
    None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", "a\0b", "\udce9", "x" * 5000, [], [[]], {}, {"a": 1}, [None], ["x"],
)  # fmt: skip


def field_paths(value, path=()):
    """The paths of all fields, and of the first items of lists, in a JSON value."""
    paths = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in items:
        paths += field_paths(item, (*path, key))
    return paths


def nest(depth):
    deep = []
    for _ in range(depth):
        deep = [deep]
    return deep


def change_field(value, rng):
    """A copy of a JSON value with one field replaced, dropped or added."""
    value = copy.deepcopy(value)
    *parents, last = rng.choice([path for path in field_paths(value) if path])
    owner = value
    for key in parents:
        owner = owner[key]
    kind = rng.choice(("replace", "replace", "replace", "drop", "add", "deep"))
    if kind == "drop":
        del owner[last]
    elif kind == "add" and isinstance(owner, dict):
        owner[f"{last}x"] = rng.choice(ODD)
    else:
        owner[last] = nest(rng.choice((30, 300))) if kind == "deep" else rng.choice(ODD)
    return value


def damage(content, rng):
    """The bytes of a file truncated, in another encoding, with a byte order mark, or with other bytes inserted."""
    kind = rng.choice(("cut", "utf-16", "mark", "bytes", "digits", "brackets", "twice"))
    at = rng.randrange(len(content))
    return {
        "cut": lambda: content[:at],
        "utf-16": lambda: content.decode().encode("utf-16"),
        "mark": lambda: b"\xef\xbb\xbf" + content,
        "bytes": lambda: content[:at] + b"\xff\x00" + content[at:],
        "digits": lambda: b'{"step": ' + b"9" * 6000 + b"}",
        "brackets": lambda: b"[" * 100_000,
        "twice": lambda: content + content,
    }[kind]()


def error_message(load):
    """The message of the InputError that a call raises; '' if it raises none."""
    try:
        load()
    except InputError as error:
        return str(error)
    return ""


def count_errors(path, load, seed, count=70):
    """The number of changed files that raise InputError. Any other exception fails the test."""
    rng, original, errors = random.Random(seed), path.read_bytes(), 0
    value = json.loads(original)
    for _ in range(count):
        whole = rng.random() < 0.75
        content = json.dumps(change_field(value, rng)).encode() if whole else damage(original, rng)
        path.write_bytes(content)
        message = error_message(load)
        errors += bool(message)
        assert "\n" not in message, message
        assert len(message) < 1500, message
    path.write_bytes(original)
    load()
    return errors


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    train(SMALL, path)
    evaluate(path)
    return path


def test_a_changed_run_raises_or_is_read(run):
    def load():
        result = Run.open(run)
        Config.from_json(result.config)
        return result.split, result.results

    assert count_errors(run / "run.json", load, 1, 150) > 60
    assert count_errors(run / "split.json", load, 2) > 30
    assert count_errors(run / "results.json", load, 3) > 30


def test_a_changed_comparison_raises_or_is_read(tmp_path):
    prepare(
        [Variant("ArcFace", "arcface"), Variant("t", "npcface", parameters={"t": 1.1}, swept=True)], 2, SMALL, tmp_path
    )
    assert count_errors(tmp_path / "compare.json", lambda: Plan.open(tmp_path), 4, 150) > 60


def test_a_changed_session_raises_or_is_read(tmp_path):
    session = LiveSession(data="digits", size=16, dim=3, method="npcface")
    try:
        session.set(m0=0.2)
        session.run(2, block=True)
        session.snapshot("a")
        write_json(tmp_path / "session.json", record(session))
    finally:
        session.stop()
    path = tmp_path / "session.json"
    assert count_errors(path, lambda: parse_record(read_json(path), str(path)), 5, 150) > 60


@pytest.mark.parametrize("threads", ["2", 2.5, None, True, 0, 10**9, [1]])
def test_invalid_threads_of_a_session_raise(tmp_path, threads):
    with pytest.raises(InputError, match="threads"):
        LiveSession(data="digits", size=16, dim=3, threads=threads)


def test_a_changed_checkpoint_raises_or_is_read(run, tmp_path):
    tensors = load_file(run / "checkpoint.safetensors")
    job = Job.start(SMALL, 6, 16)
    header = {"step": 3, "lr": 0.2, "parameters": job.objective.parameters_now()}
    rng, path = random.Random(6), tmp_path / "c.safetensors"
    for _ in range(40):
        text = (
            json.dumps(change_field(header, rng))
            if rng.random() < 0.8
            else damage(json.dumps(header).encode(), rng).decode("latin-1")
        )
        save_file(tensors, path, metadata={"job": text})
        assert "\n" not in error_message(lambda: checkpoint.load(Job.start(SMALL, 6, 16), path))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\nmore = " + "[" * 5000 + "]" * 5000,
        lambda text: text.replace("identities = ", "identities = 1000000000000000000000000"),
        lambda text: text.replace('path = "', 'path = "\\u0000'),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('kind = "', 'kind = ["', 1),
    ],
)
def test_a_changed_manifest_raises(tmp_path, edit):
    text = next(path for path in Path(manifest.FOLDER).glob("*.toml") if "path = " in path.read_text()).read_text()
    (tmp_path / "m.toml").write_text(edit(text))
    with pytest.raises(InputError) as caught:
        manifest.read(tmp_path / "m.toml")
    assert len(str(caught.value)) < 300
