"""How things are named in a terminal: states, ends, events, durations.

Renders values; asks no broker and prints nothing.
"""
