"""Transactional records: what was decided, and what stopped a decision.

Belongs here: facts that must survive a crash and never happen twice (orders, refusals), and their migrations.
Does not belong here: tables that can be computed again (``warehouse``), arithmetic (``core``).
"""
