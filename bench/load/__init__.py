"""What the benchmarks send, and where: events, a long history, the requests of pages, a thin client, the processes.

The one invariant: the service and its bound get the same bytes from the same client.
"""
