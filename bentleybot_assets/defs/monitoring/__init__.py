"""Sensors that watch the graph itself."""
