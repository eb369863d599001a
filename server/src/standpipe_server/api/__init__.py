"""HTTP: the only FastAPI room. Reads requests, asks the store, writes answers; decides nothing about invocations.

Three paths share one entrance: the control plane as FastAPI routes; appending events and reading them as raw ASGI
endpoints, where a framework's routing would cost more than the work. The one invariant: a request
without a credential is refused before its body is read, except for the paths that the guard names open.
"""
