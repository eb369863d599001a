"""Files of undelivered messages: written, locked, read back, delivered and set aside.

The invariant: a message leaves its file once it is acknowledged, and a file that a living process holds is not changed.
"""
