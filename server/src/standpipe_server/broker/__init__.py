"""The broker's rules, pure: what is accepted, what a batch means against what is stored, how an invocation ends.

Nothing here does I/O, reads a clock or knows a framework or a database: state comes in, decisions go out, and the
store carries them out in one transaction. The one invariant: the same state and the same input give the same decision.
"""
