"""The pages: a shell and static files for the browser, whose scripts read the same API as everybody else.

Built by `scripts/pages` out of `server/pages`; nothing here reads the store. The invariant: no page loads anything from
another host, and none but the login page is given to somebody without a session.
"""
