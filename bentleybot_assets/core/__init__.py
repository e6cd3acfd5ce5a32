"""How things are COMPUTED: pure functions from frame to frame.

Belongs here: arithmetic and decisions. Does not belong here: dagster, storage, network, the clock, the environment,
unseeded randomness.
"""
