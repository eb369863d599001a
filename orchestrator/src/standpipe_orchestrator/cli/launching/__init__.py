"""`standpipe materialize`: the terminal while steps run."""
