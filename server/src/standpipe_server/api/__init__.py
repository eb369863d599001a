"""HTTP: the only FastAPI room. Reads requests, asks the store, writes answers; decides nothing about invocations.

Three paths share one entrance: the control plane as FastAPI routes; appending events and reading them as raw ASGI
endpoints, where a framework's routing would cost more than the work. The one invariant: whatever is not named open is
refused without a credential, before anything of the request's body is read.
"""
