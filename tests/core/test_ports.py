"""Free TCP ports."""

import socket

import pytest

from workbench.core import ports
from workbench.core.errors import InputError
from workbench.core.ports import free_port


def test_a_port_in_use_is_skipped(monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        first = busy.getsockname()[1]
        assert first < free_port(first) < first + ports.ATTEMPTS
        monkeypatch.setattr(ports, "ATTEMPTS", 1)
        with pytest.raises(InputError, match=f"port {first}: "):
            free_port(first)


def test_any_free_port_can_be_bound():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
