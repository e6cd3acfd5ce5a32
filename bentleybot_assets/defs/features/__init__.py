"""What is known about an instrument at a session's close."""
