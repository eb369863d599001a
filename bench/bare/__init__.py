"""Yardsticks that are servers: as little as does a comparable thing, on the same HTTP server and nothing of ours.

Each is run as a process of its own (`python -m bench.bare.append FOLDER`), prints its address and serves until it is
terminated.
"""
