"""Upkeep: what the store does by itself, on a thread of its own."""
