"""The Standpipe broker: stores what external processes report, durably and exactly once, and streams it to readers.

The rooms, each importing only what stands to its right: cli > serving > app > wiring > api > feed > store > broker.
"""
