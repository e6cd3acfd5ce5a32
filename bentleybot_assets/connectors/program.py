"""A source as a program: the command line of the Airbyte protocol, ``spec``, ``check``, ``discover`` and ``read``.

Does not belong here: any source.
"""

from __future__ import annotations

from collections.abc import Sequence

import stamina
from airbyte_cdk.connector import TConfig
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.logger import PRINT_BUFFER
from airbyte_cdk.models import ConnectorSpecification, FailureType
from airbyte_cdk.sources import Source
from airbyte_cdk.sources.utils.schema_helpers import split_config
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from bentleybot_assets.connectors.configuration import problem_of


class _Program(AirbyteEntrypoint):
    """The cdk's own, but that it does not show what a wrong configuration holds."""

    @staticmethod
    def validate_connection(source_spec: ConnectorSpecification, config: TConfig) -> None:
        """Refuse a configuration that does not fit the spec.

        Raises:
            AirbyteTracedException: it does not; the message says where and why.
        """
        settings, _ = split_config(config)
        if problem := problem_of(settings, source_spec.connectionSpecification):
            message = (
                f"{source_spec.connectionSpecification['title']}: {problem} The command spec tells what it may be."
            )
            raise AirbyteTracedException(
                message=message, internal_message=message, failure_type=FailureType.config_error
            )


def run(source: Source, arguments: Sequence[str]) -> None:
    """Carry out a command and print its messages.

    Args:
        source: whose program it is.
        arguments: of the command line, without the program's name.
    """
    # They may write to the standard output, which belongs to the protocol.
    stamina.instrumentation.set_on_retry_hooks([])
    program = _Program(source)
    with PRINT_BUFFER:  # where the log goes, too
        for message in program.run(program.parse_args(list(arguments))):
            print(f"{message}\n", end="")  # noqa: T201 - the protocol
