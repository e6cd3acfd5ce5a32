"""What the models say of a session."""
