"""What every delivered record carries beside its content: when it was true and known, and where it comes from.

Does not belong here: any stream's own columns.
"""

from __future__ import annotations

import functools

import pandera.polars as pa

from bentleybot_assets.contracts._base import Contract, Utc, column


@functools.cache
def _provenance_last(contract: type[RawContract]) -> pa.DataFrameSchema:
    """The schema with the columns of :class:`RawContract` after the stream's own; pandera puts a base's first."""
    schema = super(RawContract, contract).to_schema()
    shared = RawContract.__annotations__.keys()
    schema.columns = {
        **{name: declared for name, declared in schema.columns.items() if name not in shared},
        **{name: schema.columns[name] for name in shared},
    }
    return schema


class RawContract(Contract):
    """Base of the streams' contracts: a record's knowledge time and source, and what has no column."""

    event_at: Utc = column("When what the record tells was true")
    available_at: Utc = column("When the record could first be known")
    is_modelled: bool = column("available_at follows the publication rule instead of being observed")
    fetched_at: Utc = column("When this version was fetched or recorded")
    source: str = column("Where the record comes from")
    source_version: str = column("Version of that source")
    extra: str = column("What the source delivers beyond the columns, as JSON", nullable=True, is_long=True)

    @classmethod
    def to_schema(cls) -> pa.DataFrameSchema:
        """See :class:`Contract`."""
        return _provenance_last(cls)
