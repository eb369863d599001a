"""`standpipe materialize`: the terminal while steps run.

The invariant: a terminal that is not read holds up neither results nor the end of the run.
"""
