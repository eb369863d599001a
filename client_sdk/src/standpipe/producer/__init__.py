"""What identifies one process of an invocation: its id, its parent, its attempt and its first message.

Imports next to nothing, because every process that opens does it.
"""
