"""The command line as a function."""

import sys

import pytest

from workbench.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """A function of a command's arguments that returns its exit status, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call
