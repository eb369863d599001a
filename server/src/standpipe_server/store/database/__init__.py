"""The database: its tables, how it is opened and upgraded, and rows as the states that the rules work on.

Imports no other room of the store. Invariant: what is read is what was written, on both kinds of database.
"""
