"""What the environment says to an external process: where it reports, and where its data folder is.

Imports next to nothing, since every process reads it (`pathlib` would double the time). The invariant: a token is a
word of printable ASCII, as HTTP can carry it, and no error of this module shows one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

URL_VARIABLE = "STANDPIPE_URL"
INVOCATION_VARIABLE = "STANDPIPE_INVOCATION"
TOKEN_VARIABLE = "STANDPIPE_TOKEN"  # noqa: S105  the variable's name, not a token
TOKEN_FILE_VARIABLE = "STANDPIPE_TOKEN_FILE"  # noqa: S105  as above
API_KEY_VARIABLE = "STANDPIPE_API_KEY"
API_KEY_FILE_VARIABLE = "STANDPIPE_API_KEY_FILE"
HOME_VARIABLE = "STANDPIPE_HOME"
SPOOL_FOLDER_VARIABLE = "STANDPIPE_SPOOL_FOLDER"
DATABASE_VARIABLE = "STANDPIPE_DATABASE"
DAGSTER_CONTEXT_VARIABLE = "DAGSTER_PIPES_CONTEXT"
"""By which Dagster itself says that it launched a process."""


class BootstrapError(ValueError):
    """Some of the three variables are there and some are not, or one of them is malformed."""


def server_address(text: str, *, name: str) -> str:
    """An address without spaces at its ends, its scheme in lower case, without a slash at its end. Raises
    BootstrapError, which names `name`, where it is no http(s) address, or holds a user name or password."""
    scheme, mark, rest = text.strip().partition("://")
    scheme, rest = scheme.lower(), rest.rstrip("/")
    authority = rest.partition("/")[0].partition("?")[0]
    if not mark or scheme not in ("http", "https") or not authority or not _is_word(rest):
        raise BootstrapError(f"{name} is {without_password(text)!r}; expected an http:// or https:// address.")
    port = authority.rpartition("]")[2].partition(":")[2]
    if "@" not in authority and port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535):
        raise BootstrapError(f"{name} is {without_password(text)!r}; expected a number from 1 to 65535 for its port.")
    if "@" in authority:
        raise BootstrapError(
            f"{name} is {without_password(text)!r}; expected an address without a user name or password, which would "
            "be sent in place of the token."
        )
    return f"{scheme}://{rest}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself, to which no proxy and no other machine leads."""
    import ipaddress

    host = host.strip("[]").lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # As resolvers read it, `127.1` is an address too; `127.example` is a name.
        return host.startswith("127.") and host.replace(".", "").isdigit()


def secret_word(text: str, *, name: str) -> str:
    """A token or a key without the space around it, such as the end of the line of its file. Raises BootstrapError,
    which names `name` and not the word, where it holds characters that HTTP cannot carry."""
    word = text.strip()
    if word and not (word.isascii() and _is_word(word)):
        raise BootstrapError(
            f"{name} holds a space, a control character or a character beyond ASCII; expected one word."
        )
    return word


def without_password(address: str) -> str:
    """An address for an error or a log: with nothing of the user name and password that may stand in it."""
    before, mark, after = address.rpartition("@")
    if not mark:
        return address
    # What is no address may hold them anywhere before it.
    scheme = next((known for known in ("http://", "https://") if before.lower().lstrip().startswith(known)), "")
    return f"{scheme}***@{after}"


def read_token_file(path: str) -> str:
    """The token in a file; raises BootstrapError where it cannot be read, is empty, or holds more than one word."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  without pathlib
            text = file.read(_LONGEST_TOKEN_FILE)
    except (OSError, ValueError) as error:
        reason = "it is no text" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or str(error)
        raise BootstrapError(f"{TOKEN_FILE_VARIABLE} names {path!r}, which cannot be read: {reason}.") from None
    token = secret_word(text, name=f"The file {path!r} of {TOKEN_FILE_VARIABLE}")
    if not token:
        raise BootstrapError(f"{TOKEN_FILE_VARIABLE} names {path!r}, which is empty; expected the token in it.")
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Where an external process reports, and as which invocation."""

    url: str
    """Origin and optional base path, without `/api/v1` and without a trailing slash."""
    invocation: str
    token: str
    token_file: str | None = None
    """Where the token is read again when the server does not take it any more."""

    def __repr__(self) -> str:
        return f"Bootstrap(url={without_password(self.url)!r}, invocation={self.invocation!r}, token='***')"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Bootstrap | None:
        """Reads the three variables; None when the process was not launched by an orchestrator. The invocation's id
        decides: a URL alone (which orchestrators set for themselves) launches nothing. Without a token
        `STANDPIPE_TOKEN_FILE` names its file. Raises BootstrapError as `checked`, or where the URL or the token is
        missing."""
        invocation = environment.get(INVOCATION_VARIABLE, "").strip()
        if not invocation:
            return None
        url, token = environment.get(URL_VARIABLE, "").strip(), environment.get(TOKEN_VARIABLE, "").strip()
        file = environment.get(TOKEN_FILE_VARIABLE) or None
        missing = [name for name, value in ((URL_VARIABLE, url), (TOKEN_VARIABLE, token or file)) if not value]
        if missing:
            raise BootstrapError(
                f"{INVOCATION_VARIABLE} is set to {invocation!r} but {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not: pass all three variables on to this process."
            )
        if not token and file is not None:
            token = read_token_file(file)
        return cls.checked(url=url, invocation=invocation, token=token, token_file=file)

    @classmethod
    def checked(cls, *, url: str, invocation: str, token: str, token_file: str | None = None) -> Bootstrap:
        """Values from elsewhere in the form in which they are used. Raises BootstrapError where the URL is not http(s),
        the id is no part of a path, or the token is more than one word."""
        invocation = invocation.strip()
        if not (invocation.isascii() and _is_word(invocation)):
            raise BootstrapError(f"{INVOCATION_VARIABLE} is {invocation!r}; expected the id that was handed out.")
        return cls(
            url=server_address(url, name=URL_VARIABLE),
            invocation=invocation,
            token=secret_word(token, name=TOKEN_VARIABLE),
            token_file=token_file,
        )

    def to_environment(self) -> dict[str, str]:
        return {URL_VARIABLE: self.url, INVOCATION_VARIABLE: self.invocation, TOKEN_VARIABLE: self.token}


_LONGEST_TOKEN_FILE = 64 * 1024


def _is_word(text: str) -> bool:
    return text.isprintable() and not any(character.isspace() for character in text)


def home_path(environment: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """The data folder: `STANDPIPE_HOME`, or the platform's user data folder. It need not exist. A relative one lies
    below the working directory of the first call. Raises RuntimeError where the user's home directory cannot be
    determined."""
    if home := environment.get(HOME_VARIABLE):
        return _absolute(_expanded(home))
    if platform == "win32":
        return _absolute(os.path.join(environment.get("LOCALAPPDATA") or _expanded("~/AppData/Local"), "standpipe"))  # noqa: PTH118  without pathlib
    if platform == "darwin":
        return _absolute(_expanded("~/Library/Application Support/standpipe"))
    return _absolute(os.path.join(environment.get("XDG_DATA_HOME") or _expanded("~/.local/share"), "standpipe"))  # noqa: PTH118


def spool_folder_path(environment: Mapping[str, str]) -> str:
    """Where a process leaves what it could not deliver: `STANDPIPE_SPOOL_FOLDER`, by which a launcher names its own to
    a process that must not use the rest of its data folder, or `spool` in the data folder. Raises RuntimeError as
    `home_path`."""
    if folder := environment.get(SPOOL_FOLDER_VARIABLE):
        return _absolute(_expanded(folder)).rstrip("/") or "/"
    return os.path.join(home_path(environment), "spool")  # noqa: PTH118


_placed: dict[str, str] = {}
"""Relative folders by their text: a program that changes its working directory has one home all the same."""


def _absolute(path: str) -> str:
    if os.path.isabs(path):  # noqa: PTH117
        return path
    if path not in _placed:
        try:
            _placed[path] = os.path.abspath(path)  # noqa: PTH100
        except OSError:
            raise RuntimeError(f"The folder {path!r} is below the working directory, which is gone.") from None
    return _placed[path]


def _expanded(path: str) -> str:
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded.startswith("~"):
        raise RuntimeError(f"The home directory in {path!r} could not be determined; set {HOME_VARIABLE} to a folder.")
    return expanded
