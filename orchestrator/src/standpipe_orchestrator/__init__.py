"""Launch external code through a Standpipe broker, read its events as they come and build results.

This room composes calls to the broker and never imports the server; `transport` is its one module that imports an HTTP
client. Names are loaded when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations
