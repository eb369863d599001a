"""What a server is told at its start: command line first, then environment, then defaults; validated once, here.

This room reads the environment and the key file and nothing else; it opens, binds and creates nothing. The one
invariant: a `Settings` value holds only combinations that the server can honour.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast
from urllib.parse import quote, urlsplit

from standpipe_protocol.bootstrap import (
    API_KEY_FILE_VARIABLE,
    API_KEY_VARIABLE,
    DATABASE_VARIABLE,
    HOME_VARIABLE,
    is_loopback,
    without_password,
)
from standpipe_protocol.home import DATABASE_FILE, standpipe_home
from standpipe_protocol.limits import Limits

MigrateMode: TypeAlias = Literal["auto", "check", "off"]
MIGRATE_MODES: tuple[MigrateMode, ...] = ("auto", "check", "off")
Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8787
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_KEY_BEYOND_LOOPBACK = 16

HOST_VARIABLE = "STANDPIPE_HOST"
PORT_VARIABLE = "STANDPIPE_PORT"
PUBLIC_URL_VARIABLE = "STANDPIPE_PUBLIC_URL"
ALLOWED_HOSTS_VARIABLE = "STANDPIPE_ALLOWED_HOSTS"
MIGRATE_VARIABLE = "STANDPIPE_MIGRATE"
SYNCHRONOUS_VARIABLE = "STANDPIPE_SYNCHRONOUS"
REQUESTS_PER_SECOND_VARIABLE = "STANDPIPE_REQUESTS_PER_SECOND"

# The three variables of an external process stay under 1 KB together; the address gets half of it.
_LONGEST_PUBLIC_URL = 512
_MOST_REQUESTS_PER_SECOND = 1_000_000
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S+", re.IGNORECASE)
"""What Kubernetes puts into every pod for a Service called `standpipe`, and Docker for a link of that name, under the
name of our variable. No user has chosen it."""


class SettingsError(Exception):
    """The server was told something it cannot honour. The message is for the person who typed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything one server process needs to know."""

    home: Path
    database_url: str = field(repr=False)
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    """0 picks a free one."""
    public_url: str | None = None
    """Origin and base path under which clients reach the server; without a trailing slash."""
    migrate: MigrateMode = "auto"
    allowed_hosts: tuple[str, ...] = ()
    given_key: str | None = field(default=None, repr=False)
    """The operator key, when a person chose it; None lets the home's own key count."""
    synchronous: Synchronous = "FULL"
    stop_with_stdin: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def loopback_only(self) -> bool:
        return is_loopback(self.host)


def add_database_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        metavar="URL",
        help=f"sqlite:///FILE or postgresql://... (default: {DATABASE_VARIABLE}, else a SQLite file in STANDPIPE_HOME)",
    )


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help=f"address to listen on (default: {HOST_VARIABLE}, else {DEFAULT_HOST})")
    parser.add_argument(
        "--port",
        type=int,
        help=f"port to listen on, 0 for any free one (default: {PORT_VARIABLE}, else {DEFAULT_PORT})",
    )
    add_database_arguments(parser)
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="origin and base path under which clients reach this server, when that is not how the request names it "
        f"(default: {PUBLIC_URL_VARIABLE})",
    )
    parser.add_argument(
        "--migrate",
        choices=MIGRATE_MODES,
        help="auto: bring the database up to date first; check: refuse to start when it is not; off: do not look "
        f"(default: {MIGRATE_VARIABLE}, else auto)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        metavar="HOST",
        help="a further host name that requests may carry; may be given several times",
    )
    parser.add_argument(
        "--requests-per-second",
        type=int,
        metavar="N",
        help="requests that the processes of one invocation may make, on average; 0 for any number "
        f"(default: {REQUESTS_PER_SECOND_VARIABLE}, else {Limits().requests_per_second})",
    )
    # For the embedded broker: it lives as long as the process that started it.
    parser.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)


def serve_settings(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Reads the settings of `standpipe serve`.

    Raises:
        SettingsError: a value is malformed, or two contradict each other.
    """
    environment = _trimmed(environment)
    home = _home(environment)
    host = (arguments.host or "").strip() or environment.get(HOST_VARIABLE) or DEFAULT_HOST
    given_key = _given_key(environment)
    if not is_loopback(host):
        _check_key_beyond_loopback(given_key, host=host)
    hosts = [*(arguments.allowed_host or ()), *environment.get(ALLOWED_HOSTS_VARIABLE, "").replace(",", " ").split()]
    return Settings(
        home=home,
        database_url=database_url(arguments, environment),
        host=host,
        port=_port(arguments.port, environment),
        public_url=_public_url(arguments.public_url or environment.get(PUBLIC_URL_VARIABLE)),
        migrate=cast("MigrateMode", _one_of(MIGRATE_MODES, arguments.migrate, environment, MIGRATE_VARIABLE, "auto")),
        allowed_hosts=tuple(name.strip().lower() for name in hosts if name.strip()),
        given_key=given_key,
        synchronous=cast(
            "Synchronous", _one_of(("FULL", "NORMAL"), None, environment, SYNCHRONOUS_VARIABLE, "FULL", upper=True)
        ),
        stop_with_stdin=bool(arguments.stop_with_stdin),
        limits=Limits(requests_per_second=_requests_per_second(arguments.requests_per_second, environment)),
    )


def database_url(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """The database's URL: as given, else a SQLite file in the home."""
    environment = _trimmed(environment)
    value = (arguments.database or environment.get(DATABASE_VARIABLE) or "").strip()
    if not value:
        # A folder may be called anything; in a URL `%` and `?` mean something.
        return "sqlite:///" + quote(os.fsencode((_home(environment) / DATABASE_FILE).absolute()))
    scheme, mark, rest = value.partition("://")
    value = f"{scheme.lower()}{mark}{rest}"
    if not value.startswith(("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")):
        problem = f"begins with {scheme!r}" if mark else "has no scheme"
        raise SettingsError(f"The database URL {problem}; expected sqlite:///FILE or postgresql://...")
    if value in ("sqlite:///", "sqlite:///:memory:"):
        raise SettingsError(f"The database URL is {value!r}, which names no file; expected sqlite:///FILE.")
    return str(value)


def _trimmed(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment without the space around values that secrets and files bring along. A folder may end in one."""
    return {name: value if name == HOME_VARIABLE else value.strip() for name, value in environment.items()}


def _home(environment: Mapping[str, str]) -> Path:
    try:
        return standpipe_home(environment)
    except RuntimeError as error:
        raise SettingsError(str(error)) from None


def _given_key(environment: Mapping[str, str]) -> str | None:
    key, file = environment.get(API_KEY_VARIABLE), environment.get(API_KEY_FILE_VARIABLE)
    if key and file:
        raise SettingsError(f"Both {API_KEY_VARIABLE} and {API_KEY_FILE_VARIABLE} are set; set one of them.")
    source = API_KEY_VARIABLE
    if file:
        source = API_KEY_FILE_VARIABLE
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{source} names {file!r}, which cannot be read: {error}.") from None
        if not key:
            raise SettingsError(f"{source} names {file!r}, which is empty; expected the operator key in it.")
    if not key:
        return None
    if not _PRINTABLE.fullmatch(key):
        raise SettingsError(f"The operator key from {source} may hold printable ASCII characters only, and no spaces.")
    return key


def _check_key_beyond_loopback(key: str | None, *, host: str) -> None:
    if key is None:
        raise SettingsError(
            f"A server on {host} can be reached from other machines, so it needs an operator key that you chose: set "
            f"{API_KEY_VARIABLE} (or {API_KEY_FILE_VARIABLE}), or listen on {DEFAULT_HOST}."
        )
    if len(key) < SHORTEST_KEY_BEYOND_LOOPBACK:
        raise SettingsError(
            f"A server on {host} can be reached from other machines, and the given operator key has {len(key)} "
            f"characters; expected at least {SHORTEST_KEY_BEYOND_LOOPBACK} random ones."
        )


def _port(value: int | None, environment: Mapping[str, str]) -> int:
    named = environment.get(PORT_VARIABLE, "")
    if _SERVICE_LINK.fullmatch(named):
        named = ""
    text = str(value) if value is not None else named or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:
        source = "--port" if value is not None else PORT_VARIABLE
        raise SettingsError(f"The port is {text!r} ({source}); expected a number from 0 to 65535.")
    return int(text)


def _requests_per_second(value: int | None, environment: Mapping[str, str]) -> int:
    text = str(value) if value is not None else environment.get(REQUESTS_PER_SECOND_VARIABLE) or ""
    if not text:
        return Limits().requests_per_second
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _MOST_REQUESTS_PER_SECOND:
        raise SettingsError(
            f"The requests per second are {text!r}; expected a number up to {_MOST_REQUESTS_PER_SECOND}, or 0 for any "
            "number of them."
        )
    return int(text)


def _public_url(value: str | None) -> str | None:
    value = (value or "").strip()
    if not value:
        return None
    scheme, mark, rest = value.partition("://")
    value = f"{scheme.lower()}{mark}{rest}"
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    if not valid or parts.query or parts.fragment or parts.username or not _PRINTABLE.fullmatch(value):
        raise SettingsError(
            f"The public URL is {without_password(value)!r}; expected http(s)://host[:port][/base], without user, "
            "query or fragment."
        )
    if len(value) > _LONGEST_PUBLIC_URL:
        raise SettingsError(f"The public URL has {len(value)} characters; expected at most {_LONGEST_PUBLIC_URL}.")
    return value.rstrip("/")


def _one_of(
    allowed: tuple[str, ...],
    value: str | None,
    environment: Mapping[str, str],
    variable: str,
    default: str,
    *,
    upper: bool = False,
) -> str:
    value = value or environment.get(variable) or default
    value = value.upper() if upper else value.lower()
    if value not in allowed:
        raise SettingsError(f"{variable} is {value!r}; expected one of {', '.join(allowed)}.")
    return value
