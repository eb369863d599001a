"""Upkeep: what the store does by itself: ends what is due, restarts leases, checks the database's identity.

The sweeper's thread looks and submits commands; it writes nothing itself. Invariant: silence of a process counts only
as far as the server could have recorded its activity.
"""
