"""What the connections deliver: one file per Airbyte connection, yielding all of its streams."""
