"""The pages: a shell and static files for the browser, whose scripts read the same API as everybody else.

Built by `scripts/pages` out of `server/pages`; nothing here reads the store. The invariant: no page loads anything from
another host, and a client without a session gets the login page only.
"""
