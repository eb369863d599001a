"""The broker over HTTP: calls by subject, the stream of events, and which broker this process uses.

Its door is `broker_client`. `transport` is the only module of this distribution that imports an HTTP client. Knows
neither sessions nor launchers.
"""
