"""Faults at every boundary, many times with random timing, against real servers, producers and orchestrators.

`scripts/chaos` prints what came of it as a table. Nothing of the product is replaced: a proxy of our own breaks the
network, signals end processes, a real small file system fills up, a real PostgreSQL goes away.
"""
