"""A SQLite file that is replaced, removed or written over under a running server: nothing more is acknowledged.

Real files and real processes. The server must notice before the next acknowledgement, and end.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import ServerFactory
from tests.support.fork_server import ForkServer
from tests.support.reporting import reporting
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, custom, opened, problem_of, register

_LOST = 3


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Path:
    """A database with one invocation, of which no server is in the middle."""
    folder = tmp_path_factory.mktemp("older")
    with Server(folder / "home", database_url=f"sqlite:///{folder / 'older.db'}", fork_server=fork_server) as server:
        register(server)
    return folder / "older.db"


@pytest.fixture
def file(tmp_path: Path, older: Path) -> Path:
    """A database in a folder of its own, with a copy of what it was before beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(older, folder / "older.db")
    return shutil.copyfile(older, folder / "standpipe.db")


def _reporting_server(start_server: ServerFactory, file: Path) -> tuple[Server, Job]:
    server = start_server(database_url=f"sqlite:///{file}")
    job = register(server)
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    return server, job


def _backup(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _remove(file: Path) -> None:
    file.unlink()


def _remove_all(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def _move_away(file: Path) -> None:
    file.rename(file.with_name("away.db"))


def _move_another_here(file: Path) -> None:
    with closing(sqlite3.connect(file.with_name("other.db"))) as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
    file.with_name("other.db").rename(file)


def _move_a_copy_here(file: Path) -> None:
    _backup(file, file.with_name("copy.db"))
    file.with_name("copy.db").rename(file)


def _move_the_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def _write_over_with_another(file: Path) -> None:
    with closing(sqlite3.connect(file.with_name("other.db"))) as other:
        for number in range(200):
            other.execute(f"CREATE TABLE t{number} (x)")
        other.commit()
    shutil.copyfile(file.with_name("other.db"), file)


def _write_over_with_an_older_copy(file: Path) -> None:
    shutil.copyfile(file.with_name("older.db"), file)


def _write_over_and_remove_the_log(file: Path) -> None:
    shutil.copyfile(file.with_name("older.db"), file)
    file.with_name(file.name + "-wal").unlink()
    file.with_name(file.name + "-shm").unlink()


def _restore_with_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file.with_name("older.db"))) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _remove_the_log(file: Path) -> None:
    file.with_name(file.name + "-wal").unlink()


def _empty_the_log(file: Path) -> None:
    file.with_name(file.name + "-wal").write_bytes(b"")


def _write_over_the_log(file: Path) -> None:
    log = file.with_name(file.name + "-wal")
    log.write_bytes(b"\x00" * log.stat().st_size)


_WAYS = [
    _remove,
    _remove_all,
    _move_away,
    _move_another_here,
    _move_a_copy_here,
    _move_the_folder,
    _write_over_with_another,
    _write_over_with_an_older_copy,
    _write_over_and_remove_the_log,
    _restore_with_sqlite,
    _empty,
    _remove_the_log,
    _empty_the_log,
    _write_over_the_log,
]


@pytest.mark.parametrize("way", _WAYS)
def test_the_next_report_after_a_file_was_replaced_is_refused_and_the_server_ends(
    start_server: ServerFactory, file: Path, way: Callable[[Path], None]
) -> None:
    server, job = _reporting_server(start_server, file)
    way(file)
    refused = job.append([custom(2)], producer="p", first_seq=3)
    problem_of(refused, status=503, name="overloaded")
    assert refused.headers["Retry-After"]
    assert server.process.wait() == _LOST
    assert "CRITICAL" in server.output()
    assert "When the database is replaced" in server.output()
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("way", [_remove, _move_a_copy_here, _write_over_with_an_older_copy, _empty_the_log])
def test_an_idle_server_is_not_ready_and_ends(
    start_server: ServerFactory, file: Path, way: Callable[[Path], None]
) -> None:
    server, _ = _reporting_server(start_server, file)
    way(file)
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 503
    assert server.process.wait() == _LOST
    assert "Traceback" not in server.output()


def test_what_was_acknowledged_comes_back_with_a_file_that_was_moved_away(
    start_server: ServerFactory, file: Path
) -> None:
    server, job = _reporting_server(start_server, file)
    away = file.with_name("away.db")
    file.rename(away)
    assert job.append([custom(2)], producer="p", first_seq=3).status_code == 503
    assert server.process.wait() == _LOST
    # Alone, without its log: what was in that was written back at the end.
    away.rename(file)
    for name in ("-wal", "-shm"):
        file.with_name(file.name + name).unlink(missing_ok=True)
    server.restart()
    job.http = server.client(token=job.registered["token"])
    assert job.append([custom(2)], producer="p", first_seq=3).json()["accepted_through"] == 3
    assert [event["seq"] for event in job.events()] == [1, 2, 3]


def test_what_was_acknowledged_is_there_after_the_log_was_removed(start_server: ServerFactory, file: Path) -> None:
    server, job = _reporting_server(start_server, file)
    _remove_the_log(file)
    assert job.append([custom(2)], producer="p", first_seq=3).status_code == 503
    assert server.process.wait() == _LOST
    server.restart()
    job.http = server.client(token=job.registered["token"])
    assert [event["seq"] for event in job.events()][:2] == [1, 2]


@pytest.mark.parametrize("way", [_write_over_with_an_older_copy, _move_a_copy_here])
def test_what_was_put_in_the_files_place_is_not_written_to(
    start_server: ServerFactory, file: Path, way: Callable[[Path], None]
) -> None:
    """Neither while the server runs nor by its end: the log that it leaves behind belongs to another file."""
    server, job = _reporting_server(start_server, file)
    way(file)
    put = file.read_bytes()
    assert job.append([custom(2)], producer="p", first_seq=3).status_code == 503
    assert server.process.wait() == _LOST
    assert file.read_bytes() == put
    server.restart()
    with closing(sqlite3.connect(file)) as look:
        assert look.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # Of the copy that was made while the server ran: what was acknowledged by then is there.
        assert look.execute("SELECT count(*) FROM invocation").fetchone() == (1 + (way is _move_a_copy_here),)


def test_a_file_that_was_away_between_two_reports_costs_nothing(start_server: ServerFactory, file: Path) -> None:
    _, job = _reporting_server(start_server, file)
    # The log keeps its name: SQLite goes on with what it has open.
    file.rename(file.with_name("away.db"))
    file.with_name("away.db").rename(file)
    assert job.append([custom(2)], producer="p", first_seq=3).status_code == 200


def test_others_may_read_write_copy_and_tidy_a_file_that_a_server_has_open(
    start_server: ServerFactory, file: Path
) -> None:
    server, job = _reporting_server(start_server, file)
    for step in range(3):
        with closing(sqlite3.connect(file)) as other:
            other.execute(f"CREATE TABLE extra{step} (x)")
            other.commit()
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.execute("VACUUM")
        _backup(file, file.with_name("copy.db"))
        assert job.append([custom(step)], producer="p", first_seq=3 + step).status_code == 200
        assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    assert server.stop() == 0


def test_two_servers_on_one_file_do_not_take_each_other_for_a_replacement(
    start_server: ServerFactory, file: Path
) -> None:
    first = start_server(database_url=f"sqlite:///{file}")
    second = start_server(database_url=f"sqlite:///{file}")
    job = register(first)
    with reporting(job, first, second) as producers:
        wait_until(lambda: all(producer.sent > 50 for producer in producers), what="reports through both")
    assert first.stop() == second.stop() == 0
