"""The external process's calls: its context, its heartbeat, and appending events."""
