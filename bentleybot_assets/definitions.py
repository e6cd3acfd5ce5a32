"""Assembles the code location: the assets of ``defs`` and the resources of the deployment."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from bentleybot_assets.deployment import connection_pages, resources_of
from bentleybot_assets.settings import Settings
from bentleybot_assets.wiring.partitions import move_sessions_start

# The daily job takes the whole graph: decisions that may be backfilled in one run, and trading, which may not.
warnings.filterwarnings("ignore", message="Asset job .* materializes assets with varying BackfillPolicies")


def build_defs(settings: Settings, *, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions of a deployment; ``resources`` replace those of the settings by name."""
    with warnings.catch_warnings():
        # Notices about the maturity of Dagster's own API are for us, not for whoever runs the desk.
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        warnings.filterwarnings("ignore", category=dg.PreviewWarning)
        assets = dg.load_definitions_from_package_module(importlib.import_module("bentleybot_assets.defs"))
        if settings.profile == "production":
            assets = assets.map_resolved_asset_specs(func=_kept_on_mysql)
        if pages := connection_pages(settings):
            assets = assets.map_resolved_asset_specs(func=partial(_with_page, pages))
        return dg.Definitions.merge(
            move_sessions_start(assets, settings.sessions_start),
            dg.Definitions(
                resources={**resources_of(settings), **(resources or {})},
                # A process per step would spend seconds on imports for milliseconds of work.
                executor=dg.in_process_executor,
            ),
        )


def _kept_on_mysql(spec: dg.AssetSpec) -> dg.AssetSpec:
    """An asset that says ``parquet``, as all tables do where they are declared, with what is true of this profile."""
    return spec.replace_attributes(kinds={"mysql" if kind == "parquet" else kind for kind in spec.kinds})


def _with_page(pages: Mapping[str, str], spec: dg.AssetSpec) -> dg.AssetSpec:
    """A raw asset with the page of its connection on the Airbyte server."""
    group, table = spec.key.path[:2]
    if group != "raw" or table not in pages:
        return spec
    return spec.merge_attributes(metadata={"airbyte_connection": dg.MetadataValue.url(pages[table])})


defs = build_defs(Settings.load())
