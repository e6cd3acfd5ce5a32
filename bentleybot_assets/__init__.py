"""Bentley Budget Bot: one person's finance desk as a Dagster asset graph."""
