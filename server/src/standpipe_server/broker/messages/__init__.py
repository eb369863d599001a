"""Messages: from a body's bytes to what the rules need of each."""
