"""Forks, exits and signals of this process.

Imports nothing that delivers: what has to act at a fork, at the exit or at SIGTERM registers here.
"""
