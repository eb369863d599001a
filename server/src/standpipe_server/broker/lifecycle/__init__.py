"""Lifecycle: registration, attempts, leases, launches, and the reports of an end.

Decides on states, never on a batch. Invariant: the same calls in another order give the same state.
"""
