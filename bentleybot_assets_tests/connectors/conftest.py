"""What airbyte-cdk's own tests expect of pytest."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks of ``airbyte_cdk.test.standard_tests``."""
    config.addinivalue_line("markers", "image_tests: of a connector's image; airbyte-cdk's")
    config.addinivalue_line("markers", "requires_creds: needs credentials; airbyte-cdk's")
