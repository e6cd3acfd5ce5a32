"""The outside world as Dagster resources: built when the code location is imported, used at run.

Does not belong here: what is done with it (``defs``, ``core``), or reading the environment (``settings``).
"""
