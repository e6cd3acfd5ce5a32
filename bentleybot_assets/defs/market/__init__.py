"""Clean market data."""
