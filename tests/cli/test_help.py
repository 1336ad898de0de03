"""Help texts: complete, with examples that parse; and quick, since heavy modules are imported inside the commands."""

import re
import shlex

import pytest
from loading import loaded_after
from typer.main import get_command

from workbench.cli.main import app

ROOT = get_command(app)
HEAVY = {"torch", "numpy", "scipy", "sklearn", "plotly", "PIL", "rich", "workbench.training", "workbench.methods"}


def leaves(command=ROOT, path=()):
    """Every command and group below `command`, as (words, command)."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves())


def plain(text):
    """Text without line breaks and repeated blanks."""
    return " ".join((text or "").replace("\b", "").split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_every_text_as_it_is_written(run, path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = run(*path, "--help")
    assert status == 0
    shown, command = plain(out), COMMANDS[path]
    texts = [command.help, command.epilog, *(p.help for p in command.params if hasattr(p, "help"))]
    for text in filter(None, texts):
        # A line may break after a hyphen.
        assert plain(text).replace("- ", "-") in shown.replace("- ", "-")
    listed = out.partition("Commands:")[2].partition("Example")[0]
    assert "..." not in listed, "the first sentence of a command's help fits on one line"


def test_help_keeps_square_brackets(run):
    assert "pip install -e '.[app]'" in plain(run("app", "--help")[1])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_ends_with_one_or_two_examples_that_parse(path):
    command = COMMANDS[path]
    lines = re.findall(r"^  workbench (.*)$", command.epilog, flags=re.MULTILINE)
    assert len(lines) in (1, 2)
    for line in lines:
        words, target = shlex.split(line), ROOT
        while words and words[0] in getattr(target, "commands", {}):
            target = target.commands[words.pop(0)]
        assert target is command or hasattr(command, "commands")
        if "--help" not in words:
            target.make_context("workbench", words)


def test_every_option_has_a_help_text():
    missing = [
        (" ".join(path), p.name)
        for path, command in COMMANDS.items()
        for p in command.params
        if p.name != "help" and not getattr(p, "help", None)
    ]
    assert missing == []


@pytest.mark.parametrize("words", [[], ["train"], ["bench", "heads"], ["app"]])
def test_help_imports_nothing_heavy(words):
    statement = (
        f"sys.argv = ['workbench', *{words}, '--help']\nfrom workbench.cli.main import main\n"
        "try:\n main()\nexcept SystemExit:\n pass\n"
    )
    assert loaded_after(statement, whole=True) & HEAVY == set()
