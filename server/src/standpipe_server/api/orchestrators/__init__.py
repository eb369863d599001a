"""The orchestrator's calls: invocations, their launch and end, and following their events."""
