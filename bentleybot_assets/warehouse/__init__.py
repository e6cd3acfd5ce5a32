"""Tables <-> storage, behind one interface (:mod:`bentleybot_assets.warehouse.base`).

Belongs here: reading, publishing, quarantine and the raw log. Does not belong here: judging content
(``core.audit``), Dagster (``wiring``).
"""
