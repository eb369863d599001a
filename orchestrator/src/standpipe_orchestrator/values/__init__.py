"""What was reported, as values of Python: asset keys, metadata, tables, results. Pure; knows no broker.

The invariant: a value that was made is in its normal form, and what `to_wire` writes is read back to an equal value.
"""
