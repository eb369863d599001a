"""Databases that a server of protocol 1.0 filled, as it left them, and what it answered about them.

Run as a program (`python -m tests.migration.old_database`) it makes the files in `old/` anew: it takes the server of
that commit out of git, tells it `old_story`, keeps the database, starts it again and keeps all its answers. The files
are committed, because they are what an upgrade meets: bytes of that time, whatever becomes of the libraries that wrote
them. Making them in each test run would need the old server to run beside today's dependencies for ever.
"""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psycopg
import zstandard

from tests.migration import old_story
from tests.migration.answers import Answers
from tests.support import baseline
from tests.support.postgres import program, running_postgres
from tests.support.processes import child_environment, run, run_python
from tests.support.server import Server
from tests.support.waiting import wait_until

Database: TypeAlias = Literal["sqlite", "postgresql"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")
_FOLDER = Path(__file__).with_name("old")


@dataclass(frozen=True, slots=True)
class Told:
    """What the old server was told and what it answered."""

    commit: str
    invocations: dict[str, str]
    """Ids by the name of their story."""
    routes: list[str]
    """Every GET that its OpenAPI document names."""
    answers: dict[str, Any]


def told(database: Database) -> Told:
    return Told(**json.loads(zstandard.decompress((_FOLDER / f"{database}.answers.json.zst").read_bytes())))


def restore(database: Database, url: str) -> None:
    """Puts the old database where `url` says: an empty database, or a file that does not exist yet."""
    content = zstandard.decompress((_FOLDER / f"{database}.database.zst").read_bytes())
    if database == "sqlite":
        Path(url.removeprefix("sqlite:///")).write_bytes(content)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(content)


def wait_for_the_sweeper(server: Server, invocations: dict[str, str]) -> None:
    """Waits until the sweeper has been through the database: the story leaves one invocation for it to end."""
    path = f"/invocations/{invocations[old_story.DUE]}"
    wait_until(lambda: server.http.get(path).json()["verdict"], what="the sweeper to end what is due")


def _make(database: Database, url: str, *, tree: Path, home: Path) -> None:
    code = {"PYTHONPATH": f"{tree / 'client_sdk' / 'src'}:{tree / 'server' / 'src'}"}
    where = run_python("-c", "import standpipe_server; print(standpipe_server.__file__)", env=child_environment(code))
    assert Path(where.stdout.strip()).is_relative_to(tree), where.stdout
    with Server(home, database_url=url, env=code) as server:
        invocations = old_story.tell(server)
    _write(f"{database}.database.zst", _dump(url))
    with Server(home, database_url=url, env=code) as server:
        wait_for_the_sweeper(server, invocations)
        paths = server.client().get(f"{server.url}/openapi.json", headers=server.http.headers).json()["paths"]
        routes = sorted(path for path, methods in paths.items() if "get" in methods)
        answers = Answers(server, without=invocations[old_story.DUE]).collect()
    kept = {"commit": baseline.COMMIT, "invocations": invocations, "routes": routes, "answers": answers}
    _write(f"{database}.answers.json.zst", json.dumps(kept, ensure_ascii=True).encode())


def _dump(url: str) -> bytes:
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).read_bytes()
    options = ["--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", "--no-comments"]
    text = run([program("pg_dump"), *options, url]).stdout
    # What stands before the first table sets up a session of pg_dump's own version, and `\` commands are for psql.
    text = text[text.index("CREATE TABLE") :]
    return re.sub(r"(?m)^(\\.*|SET .*|SELECT pg_catalog\.set_config.*)\n", "", text).encode()


def _write(name: str, content: bytes) -> None:
    packed = zstandard.ZstdCompressor(level=19).compress(content)
    (_FOLDER / name).write_bytes(packed)
    print(f"{name}: {len(content):,} bytes, {len(packed):,} packed")


def main() -> None:
    _FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tree = folder / "tree"
        baseline.unpack(tree)
        postgres = stack.enter_context(running_postgres())
        home = folder / "sqlite"
        _make("sqlite", f"sqlite:///{home / 'standpipe.db'}", tree=tree, home=home)
        _make("postgresql", postgres.create(), tree=tree, home=folder / "postgresql")


if __name__ == "__main__":
    main()
