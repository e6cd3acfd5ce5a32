"""Mappings of CSV exports that ship: a bank's transactions, and two styles of brokers'."""
