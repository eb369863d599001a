"""Benchmarks: each figure is a ratio to a bound taken in the same run on the same disk, never an absolute promise.

`scripts/bench` runs them all and prints a table; `scripts/bench ingest live` runs some. Nothing here is a test.
"""
