"""Messages: from a body's bytes to what the rules need of each.

Knows no invocation. Invariant: a message keeps its own bytes, and a limit is checked before the work that it bounds.
"""
