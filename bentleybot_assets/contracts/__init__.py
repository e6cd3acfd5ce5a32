"""What a table IS: one pandera model per table, found by its asset key.

Belongs here: columns, types, units, grain and the rules a row or table must obey.
Does not belong here: arithmetic (``core``), storage (``warehouse``), Dagster (``wiring``), any I/O.
"""
