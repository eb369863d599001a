"""The server's verbs: `standpipe serve` and `standpipe migrate`. Reads arguments, says what went wrong in a sentence.

Importing this module is cheap: the server itself is loaded when a verb runs.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from standpipe_server.settings import (
    SettingsError,
    add_database_arguments,
    add_serve_arguments,
    database_url,
    serve_settings,
)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the `standpipe` command: found by its entry point, named by it."""

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _serve(arguments: argparse.Namespace) -> int:
    try:
        settings = serve_settings(arguments, os.environ)
    except SettingsError as error:
        _say(f"standpipe serve: {error}")
        return 2
    # Only now, so that a typing error is told at once: the imports take a second. Nothing of what they make is ever
    # thrown away, so the garbage collector is off until the server listens: a tenth of the time of a start.
    gc.disable()
    from standpipe_protocol.home import Credentials
    from standpipe_server.home_lock import HomeTaken
    from standpipe_server.serving import DATABASE_LOST, configure_logging, serve
    from standpipe_server.store import MigrationNeeded, UnusableDatabase

    def ready(credentials: Credentials, link: str) -> None:
        _say(f"Standpipe is listening on {credentials.url}")
        # A program that embeds the server has no use for the link, and may keep its output for ever.
        if not settings.stop_with_stdin:
            _say(f"Open it in a browser, once, within the hour: {link}")
            _say("(`standpipe open` makes another such link and opens it.)")

    configure_logging()
    # Only the owner may read what jobs report.
    os.umask(0o077)
    try:
        code = serve(settings, on_ready=ready)
    except (SettingsError, HomeTaken, MigrationNeeded, UnusableDatabase) as error:
        _say(f"standpipe serve: {error}")
        return 2
    except Exception as error:
        _say(f"standpipe serve: {_told(error)}")
        return 1
    if code == DATABASE_LOST:
        # Connections that are still open would be closed on the way, and SQLite writes its log back then: into what
        # was put in the place of its file.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _configure_migrate(parser: argparse.ArgumentParser) -> None:
    add_database_arguments(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the database is behind")


def _migrate(arguments: argparse.Namespace) -> int:
    from standpipe_server.store import MigrationNeeded, UnusableDatabase
    from standpipe_server.store.database.engines import database_url as parse_url
    from standpipe_server.store.database.engines import open_engine, require_unicode
    from standpipe_server.store.database.schema_upgrade import upgrade_database

    os.umask(0o077)
    try:
        url = parse_url(database_url(arguments, os.environ))
        engine = open_engine(url, synchronous="FULL", connections=1, writes=True)
    except (SettingsError, UnusableDatabase) as error:
        _say(f"standpipe migrate: {error}")
        return 2
    try:
        try:
            require_unicode(engine)
            revision = upgrade_database(engine, migrate="check" if arguments.check else "auto")
        finally:
            engine.dispose()
    except UnusableDatabase as error:
        _say(f"standpipe migrate: {error}")
        return 2
    except MigrationNeeded as error:
        _say(f"standpipe migrate: {error}")
        return 1
    except Exception as error:
        _say(f"standpipe migrate: {_told(error)}")
        return 1
    _say(f"The database is at revision {revision}.")
    return 0


def _told(error: Exception) -> str:
    """A sentence for what the machine refuses: files, the database, a missing driver. Anything else is a fault of ours.

    The driver's error is looked for by name: the store alone knows the drivers, and one of them is optional.
    """
    cause = error.__cause__ or error
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("psycopg"):
        return "PostgreSQL needs the package psycopg: install standpipe-server[postgres]."
    if type(cause).__module__.partition(".")[0] in ("psycopg", "sqlite3"):
        return f"The database cannot be used: {str(cause).strip()}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or ''}"
    raise error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the command's own word


SERVE = Verb("run the broker", add_serve_arguments, _serve)
MIGRATE = Verb("bring the database's schema up to date", _configure_migrate, _migrate)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m standpipe_server`: the same verbs without the `standpipe` command."""
    parser = argparse.ArgumentParser(prog="standpipe_server", description="The Standpipe broker.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, verb in (("serve", SERVE), ("migrate", MIGRATE)):
        sub = verbs.add_parser(name, help=verb.help, description=verb.help)
        verb.configure(sub)
        sub.set_defaults(run=verb.run)
    parsed = parser.parse_args(arguments)
    return int(parsed.run(parsed))
