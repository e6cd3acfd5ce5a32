"""The asset graph: thin definitions, one file per asset, found by its key. Arithmetic is in ``core``."""
