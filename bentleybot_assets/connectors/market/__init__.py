"""The ``market`` source: daily bars, splits and dividends, recorded (``sample``) or from ``yahoo``."""
