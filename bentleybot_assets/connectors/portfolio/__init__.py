"""The ``portfolio`` source: accounts, balances, positions and transactions of banks and brokers, or a ``sample``."""
