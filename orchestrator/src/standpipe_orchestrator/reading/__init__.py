"""From an invocation's events to its results: the thread that reads, what each event means, what is collected.

Its doors are `invocation_reading`, `completed_invocation` and `forwarded_output`. Launches nothing and reports nothing.
The invariant: each event is handled once, in order, or `trouble` says which was not.
"""
