"""Intake: what a batch means against what is stored: new, a retry, a gap, or too late.

The only room that changes a producer's state by messages. Invariant: each numbered message counts exactly once.
"""
