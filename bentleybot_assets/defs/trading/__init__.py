"""What to own, and the orders that lead there."""
