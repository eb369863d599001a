"""What was reported, as values of Python: asset keys, metadata, tables, results. Pure; knows no broker."""
