"""Transactions: a thread for each writer, a unit of work for each group of commands, and what is cached between them.

Knows no command and no read. Invariant: nothing is answered or cached before the commit that holds it.
"""
