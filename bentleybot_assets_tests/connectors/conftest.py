"""What tests of several connectors need, and what airbyte-cdk's own tests expect of pytest."""

from __future__ import annotations

import time

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks of ``airbyte_cdk.test.standard_tests``."""
    config.addinivalue_line("markers", "image_tests: of a connector's image; airbyte-cdk's")
    config.addinivalue_line("markers", "requires_creds: needs credentials; airbyte-cdk's")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long clients would have slept, in seconds and in order; nobody sleeps."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: slept.append(seconds) if seconds else None)
    return slept
