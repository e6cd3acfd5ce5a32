"""The only bridge between contracts and Dagster.

Belongs here: table assets and their checks, partitions, I/O, naming vocabularies, alerts on checks. Does not belong
here: any particular asset (``defs``), any arithmetic (``core``), any storage (``warehouse``).
"""
