"""Commands: what a writer does in a transaction, one frozen class each."""
