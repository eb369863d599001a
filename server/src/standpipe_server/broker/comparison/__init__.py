"""Comparison: what is different between invocations and between table schemas."""
