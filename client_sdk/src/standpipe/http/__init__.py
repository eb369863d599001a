"""The conversation with the server: the client, its requests, and the pure rules for what follows each answer.

Writes no file. The invariant: a message is done with only on the server's own word.
"""
