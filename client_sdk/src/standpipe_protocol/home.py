"""The data folder (`STANDPIPE_HOME`) and the credentials file in it that lets local tools find a local server."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from standpipe_protocol.bootstrap import home_path

CREDENTIALS_FILE = "credentials.json"
LOCK_FILE = "server.lock"
DATABASE_FILE = "standpipe.db"

IDENTITY_CHALLENGE_HEADER = "Standpipe-Challenge"
IDENTITY_PROOF_HEADER = "Standpipe-Proof"


def standpipe_home(environment: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    """The data folder: `STANDPIPE_HOME`, or the platform's user data folder. It need not exist."""
    return Path(home_path(environment, platform=platform))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a server of this home writes for local tools: where it listens, its operator key, how it proves itself."""

    url: str
    api_key: str
    identity: str = ""
    """A secret of this home. A client sends a nonce in `Standpipe-Challenge` to `/healthz` and gets the HMAC-SHA256 of
    it under this secret back in `Standpipe-Proof`, before it sends its key to that port."""

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, api_key='***', identity='***')"


def read_credentials(home: Path) -> Credentials | None:
    """The home's credentials, or None when there are none that can be read as such."""
    try:
        wire: object = json.loads((home / CREDENTIALS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(wire, dict):
        return None
    members = cast("dict[str, object]", wire)
    url, api_key, identity = members.get("url"), members.get("api_key"), members.get("identity", "")
    if isinstance(url, str) and isinstance(api_key, str) and isinstance(identity, str):
        return Credentials(url=url, api_key=api_key, identity=identity)
    return None


def write_credentials(home: Path, credentials: Credentials) -> Path:
    """Writes the credentials file with mode 0600, atomically: a reader sees the old file or the new one."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / CREDENTIALS_FILE
    # mkstemp creates the file 0600, so the key is at no moment readable by others.
    descriptor, temporary = tempfile.mkstemp(dir=home, prefix=CREDENTIALS_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(credentials), indent=2) + "\n")
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    return path


def identity_proof(identity: str, nonce: str) -> str:
    """The answer to a challenge: HMAC-SHA256 of the nonce under the home's identity secret, in hex."""
    # hashlib costs a few milliseconds to import and is needed by the few who prove or check an identity.
    import hashlib
    import hmac

    return hmac.new(identity.encode(), b"standpipe-identity:" + nonce.encode(), hashlib.sha256).hexdigest()
