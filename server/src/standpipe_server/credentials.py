"""The credentials file by which local tools find the server of a home.

This room touches only files in the home. The one invariant: the operator key and the identity secret are never
readable by others, and the key a home made for itself survives every restart.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from standpipe_protocol.home import Credentials, read_credentials, write_credentials


def home_credentials(home: Path, *, given_key: str | None) -> Credentials:
    """The credentials this server runs with: a given key counts, else the home's own, else a new one.

    Nothing is written yet: the file names an address, and that is not known before the server listens.
    """
    known = read_credentials(home)
    key = given_key or (known.api_key if known else "") or "spk_" + secrets.token_urlsafe(32)
    identity = (known.identity if known else "") or secrets.token_urlsafe(32)
    return Credentials(url=known.url if known else "", api_key=key, identity=identity)


def publish_address(home: Path, credentials: Credentials, *, url: str) -> Credentials:
    """Writes the credentials file with the address at which the server now listens."""
    published = Credentials(url=url, api_key=credentials.api_key, identity=credentials.identity)
    write_credentials(home, published)
    return published
