"""The ``market`` source: bars, splits and dividends, exchange rates and rates of Treasury bills.

They are recorded (``sample``) or come from ``yahoo``.
"""
