"""One run of definitions: its plan, its steps, and how they ended. `definitions` is its door; knows no broker.

The invariant: every planned step has one outcome, in the order in which the steps ran.
"""
