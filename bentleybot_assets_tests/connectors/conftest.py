"""What tests of several connectors need, and what airbyte-cdk's own tests expect of pytest."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import pytest
import stamina
from airbyte_cdk.sources.declarative import concurrent_declarative_source as declarative
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

_schema_of_manifests = functools.cache(declarative.get_declarative_component_schema)


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


@pytest.fixture
def hooks() -> Iterator[None]:
    """A test that sets stamina's hooks, which are the process's, leaves them as they are unless somebody sets them."""
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.fixture(autouse=True)
def schema_of_manifests_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cdk parses it anew for each source: most of the time that a read takes here."""
    monkeypatch.setattr(declarative, "get_declarative_component_schema", _schema_of_manifests)


@pytest.fixture(autouse=True)
def secrets_of_other_tests_are_forgotten() -> Iterator[None]:
    """The cdk remembers them for the process, and hides them in the messages of whatever runs later."""
    update_secrets([])
    yield
    update_secrets([])
