"""One launch of external work: registration, lease, reading, finish. Its doors are `opening` and `pipes_session`.

Knows no launcher: it starts no work. The invariant: after a session the broker knows the end of the work, and a verdict
other than `succeeded` has raised, unless that was declined.
"""
