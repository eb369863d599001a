"""An exported invocation stored again, and stored events replayed. Launches nothing.

The invariant: a file that was cut short, or is of a later format, is never taken for a whole one.
"""
