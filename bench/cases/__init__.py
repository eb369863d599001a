"""The benchmarks: each module measures one thing and returns the rows of its table.

A case may use `bench.load` and the bounds in `bench.bare`, but no other case, except `ingest`.
"""
