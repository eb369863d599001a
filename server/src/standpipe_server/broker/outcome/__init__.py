"""Outcome: the verdict on an invocation, and what it is derived from."""
