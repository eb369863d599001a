"""Transactions: one thread a writer, one unit of work a group of commands, and what is remembered between them."""
