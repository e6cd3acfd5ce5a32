"""airbyte-cdk's own tests of a source (``airbyte_cdk.test.standard_tests``), without an image to build.

A module of tests subclasses :class:`Standards`, names it ``Test...``, lists its ``scenarios`` and imports
``pytest_generate_tests`` from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import DiscoveredCatalogWarning, SourceTestSuiteBase

__all__ = ["Standards", "pytest_generate_tests", "scenario_of"]

OF_THE_IMAGE = tuple(name for name in dir(SourceTestSuiteBase) if name.startswith("test_docker_image"))


@pytest.mark.filterwarnings(f"error::{DiscoveredCatalogWarning.__module__}.{DiscoveredCatalogWarning.__name__}")
class Standards(SourceTestSuiteBase):
    """spec, check, discover and read of one source, as Airbyte wants them.

    Attributes:
        connector: the source's class, or what makes one.
        scenarios: name to configuration, and whether it is one that works.
        empty_streams: name of a scenario to streams that nothing is configured for.
    """

    scenarios: ClassVar[dict[str, tuple[dict[str, Any], bool]]]
    empty_streams: ClassVar[dict[str, Sequence[str]]] = {}

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        """The folder that the cdk names the connector after."""
        return cls.get_test_class_dir()

    @classmethod
    def get_scenarios(cls) -> list[ConnectorTestScenario]:
        """The scenarios of the class instead of a file's."""
        return [
            scenario_of(name, config, works=works, empty_streams=cls.empty_streams.get(name, ()))
            for name, (config, works) in cls.scenarios.items()
        ]


def scenario_of(
    name: str, config: dict[str, Any], *, works: bool = True, empty_streams: Sequence[str] = ()
) -> ConnectorTestScenario:
    """A configuration to test with, whether it is one that works, and the streams that it has nothing for."""
    empty = [{"name": stream, "bypass_reason": "nothing is configured for it"} for stream in empty_streams]
    scenario = ConnectorTestScenario(
        config_dict=config, status="succeed" if works else "failed", empty_streams=empty or None
    )
    scenario._id = name
    return scenario


for _name in OF_THE_IMAGE:
    setattr(Standards, _name, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a scenario with each of its class's."""
    if "scenario" in metafunc.fixturenames:
        # The cdk would skip to discover with a configuration that is refused.
        is_any = metafunc.function.__name__ != "test_discover"
        scenarios = [found for found in metafunc.cls.get_scenarios() if is_any or found.status == "succeed"]
        metafunc.parametrize("scenario", scenarios, ids=[scenario.id for scenario in scenarios])
