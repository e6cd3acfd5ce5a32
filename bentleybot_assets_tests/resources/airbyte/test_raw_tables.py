"""Raw tables are named as Airbyte's MySQL destination names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentleybot_assets.resources.airbyte.raw_tables import identifier, raw_table_name


@pytest.mark.parametrize(
    ("namespace", "stream", "name"),
    [
        # As its own tests and documentation have them.
        ("public", "users", "public_raw__stream_users"),
        ("a_b", "c", "a_b_raw__stream_c"),
        ("a__b", "c", "a__b_raw___stream_c"),
        ("a", "b___c", "a_raw____stream_b___c"),
        ("_", "_", "__raw___stream__"),
        # Written in small letters, without accents and signs, and cut in the middle.
        ("Desk", "Daily Bars", "desk_raw__stream_daily_bars"),
        ("bentleybot", "crédits-été", "bentleybot_raw__stream_credits_ete"),
        ("a_finance_desk_in_production", "corporate_actions", "a_finance_desk_in_pro__eam_corporate_actions"),
    ],
)
def test_a_raw_table_has_the_destinations_name(namespace, stream, name):
    assert raw_table_name(namespace, stream) == name


@given(st.text(max_size=80))
def test_a_name_can_stand_in_a_statement(name):
    written = identifier(name)
    assert len(written) <= 44
    assert set(written) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert identifier(written) == written
