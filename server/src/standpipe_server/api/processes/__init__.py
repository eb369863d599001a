"""The external process's calls: context, heartbeat, and appending events."""
