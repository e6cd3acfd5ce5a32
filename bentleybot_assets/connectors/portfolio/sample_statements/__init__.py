"""Statements of nobody, written for this project (``sample``)."""
