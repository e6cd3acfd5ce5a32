"""Runs Airbyte connections: what is new reaches the raw log, audited, together with the STATE.

``base`` says what a sync is, ``embedded`` drives sources in this process, ``drift`` compares what they declare,
``records`` types what they deliver and ``delivery`` commits it. Does not belong here: any source (``connectors``),
judging rows (``core.audit``), storing them (``warehouse``).
"""
