"""The vocabulary of Standpipe: what client, server and orchestrator say to each other, defined once.

This room holds words and pure rules about words. It imports the standard library only, does no I/O (but for reading
and writing the credentials file in `home`) and knows neither HTTP clients nor databases. The one invariant: what
`to_wire` writes, `from_wire` and `parse_message` read back to an equal value.
"""

PROTOCOL_VERSION = "1.1"
