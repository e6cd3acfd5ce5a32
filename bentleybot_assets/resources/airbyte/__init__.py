"""Runs Airbyte connections: what is new reaches the raw log, audited, together with the STATE.

``base`` says what a sync is. ``embedded`` drives sources in this process; ``server`` has an Airbyte server do it
(``client`` talks to it, ``saved`` is what is known of it, ``raw_tables`` what it delivers, ``provision`` sets it up);
``mixed`` hands each connection to one of them. ``configuration`` puts secrets in. For both, ``records`` types what
sources deliver and ``delivery`` commits it; ``drift`` compares what they declare. Does not belong here: any source
(``connectors``), judging rows (``core.audit``), storing them (``warehouse``).
"""
