"""Declarative manifests: APIs that are described in YAML, read in this process by airbyte-cdk.

A manifest says what is asked, how one logs in, how pages follow each other, and what the API's refusals mean. Its
``spec`` declares the settings. Where to go on from is part of the configuration it is run with, not a cursor of the
cdk's: some APIs hand out opaque cursors, and the cdk's cursors read the clock.

Does not belong here: any API; what its records mean (the module beside its manifest).

What is known of the cdk and easily forgotten in a manifest:

- It evaluates what a template renders as a Python literal: a secret ``1e5`` would be sent as ``100000.0``. A value that
  must arrive as it is goes through ``tojson``.
- An answer that is no JSON counts as an empty one, and so does a path that is not in it. Each stream needs a response
  filter that says what its answer must have.
- It prints to the standard output when it is told ``RATE_LIMITED``. ``RETRY`` waits in the same way, and is bounded.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import logging
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import yaml
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from airbyte_cdk.sources.streams.http.exceptions import BaseBackoffException
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets, filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.feeds import ConfigError, Record, TransientError
from bentleybot_assets.connectors.patience import BusyError

# The cdk logs requests with their headers, and refusals as they came, which may repeat a secret. What matters of them
# is in the exception.
logging.getLogger("airbyte.HttpRequester").setLevel(logging.CRITICAL)


_TOO_OFTEN = 3
"""How often a record comes only if what answers does not know of pages: one may end a page and begin the next."""


class Manifest:
    """A manifest among a package's files.

    Args:
        package: the package, as it is imported.
        file: name of the file in it.
    """

    def __init__(self, package: str, file: str) -> None:
        self._package = package
        self._file = file

    @functools.cached_property
    def _content(self) -> dict[str, Any]:
        file = importlib.resources.files(self._package) / self._file
        return yaml.safe_load(file.read_text("utf-8"))  # type: ignore[no-any-return]

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON schema of each setting."""
        return self._content["spec"]["connection_specification"]["properties"]  # type: ignore[no-any-return]

    @property
    def required(self) -> tuple[str, ...]:
        """Settings that must be given."""
        return tuple(self._content["spec"]["connection_specification"]["required"])

    def read(self, stream: str, config: Mapping[str, Any]) -> list[Record]:
        """All records of a stream, as the API delivers them, in its order.

        Args:
            stream: name of the stream in the manifest.
            config: the settings, and what else the manifest's templates ask for. Settings that are left out have their
                defaults.

        Raises:
            ConfigError: the API refuses what it is asked; the message names the setting to mend.
            BusyError: it limits the rate of requests, and waiting did not help or would take too long.
            TransientError: it did not answer, or not what it documents, and asking again did not help.
        """
        defaults = {name: schema["default"] for name, schema in self.settings.items() if "default" in schema}
        config = {**defaults, **config}
        for name, schema in self.settings.items():
            if schema.get("airbyte_secret") and config.get(name):
                add_to_secrets(config[name])
        source = ConcurrentDeclarativeSource(
            source_config=self._content, config=config, custom_components_trusted=False
        )
        (asked,) = (offered for offered in source.streams(config) if offered.name == stream)
        records: list[Record] = []
        times: Counter[str] = Counter()
        statuses: list[int] = []
        try:
            for partition in asked.generate_partitions():
                session = partition._retriever.requester._http_client._session  # noqa: SLF001
                # Keys in headers of our own would be sent along to wherever a redirect leads.
                session.max_redirects = 0
                session.hooks["response"].append(lambda answer, **_: statuses.append(answer.status_code))
                for record in partition.read():
                    content = json.dumps(record.data, sort_keys=True, default=str)
                    times[content] += 1
                    if times[content] == _TOO_OFTEN:
                        raise ConfigError(
                            f"{stream}: the same comes again and again: what answers does not know of pages. Check "
                            "`base_url`, or report it."
                        )
                    records.append(dict(record.data))
        except AirbyteTracedException as problem:
            # Not from it: its text is not rid of secrets.
            raise _problem(stream, problem, is_limited=statuses[-1:] == [HTTPStatus.TOO_MANY_REQUESTS]) from None
        return records


def _problem(stream: str, problem: AirbyteTracedException, *, is_limited: bool) -> ConfigError | TransientError:
    """What the cdk could not read, in our terms."""
    transient = BusyError if is_limited else TransientError
    gave_up = problem.__context__
    if isinstance(gave_up, BaseBackoffException):
        return transient(filter_secrets(f"{stream}: {gave_up} Sync again later."))
    said = filter_secrets(f"{stream}: {problem.message}")
    return transient(said) if problem.failure_type is FailureType.transient_error else ConfigError(said)
