"""Fixtures of live sessions."""

import pytest
from trainings import session_config, session_images

from workbench.training.live.session import LiveSession


@pytest.fixture
def live():
    """A function that makes sessions, which are stopped at the end."""
    sessions = []

    def make(name="test", **changes):
        options = {key: changes.pop(key) for key in ("margin", "sample") if key in changes}
        sessions.append(LiveSession(session_config(**changes), images=session_images(), name=name, **options))
        return sessions[-1]

    yield make
    for session in sessions:
        session.stop()
