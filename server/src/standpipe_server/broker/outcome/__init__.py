"""Outcome: the verdict on an invocation, the receipt, progress and badge, and all of it in sentences.

Reads states and changes none. Invariant: the first row of the protocol's table that fits gives the verdict.
"""
