"""What chaos happens to: a real server on a database of its own, on a small disk, behind the proxy."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from chaos.proxy import Proxy
from tests.support.disk import CannotMisbehave, small_disk
from tests.support.postgres import Cluster, own_cluster
from tests.support.server import Server

Database: TypeAlias = Literal["sqlite", "postgresql"]

_CLUSTER = {"listen_addresses": "", "max_connections": "50", "log_min_messages": "fatal"}
_DISK_MEBIBYTES = 512


@dataclass(slots=True)
class World:
    database: Database
    folder: Path
    server: Server
    proxy: Proxy
    cluster: Cluster | None = None
    disk: Path | None = None
    """The small file system that holds the database."""
    no_disk: str = ""
    """Why there is none."""
    # One misfortune at a time: a server is not started while it is killed.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kill_server(self) -> bool:
        with self.lock:
            self.server.kill9()
            self.server.start()
        return True

    def stop_server(self) -> bool:
        with self.lock:
            self.server.process.stop(timeout=30)
            self.server.start()
        return True

    def restart_database(self, *, crash: bool) -> bool:
        assert self.cluster is not None
        with self.lock:
            self.cluster.stop(crash=crash)
            self.cluster.start()
        return True

    def fill_disk(self, *, seconds: float) -> bool:
        """Full at once, and free again in a while."""
        assert self.disk is not None
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1024 * 1024, 4096):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        timer = threading.Timer(seconds, filler.unlink, kwargs={"missing_ok": True})
        timer.daemon = True
        timer.start()
        return True


@contextmanager
def open_world(database: Database) -> Generator[World]:
    """A world, gone afterwards."""
    with ExitStack() as stack:
        # PostgreSQL's user has to get to the disk.
        folder = Path(tempfile.mkdtemp(prefix="standpipe-chaos-", dir="/tmp"))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk: Path | None = None
        no_disk = ""
        try:
            disk = stack.enter_context(small_disk(folder / f"disk-{os.getpid()}", mebibytes=_DISK_MEBIBYTES))
        except CannotMisbehave as reason:
            no_disk = str(reason)
        cluster: Cluster | None = None
        if database == "sqlite":
            url = f"sqlite:///{(disk or folder) / 'standpipe.db'}"
        else:
            cluster = stack.enter_context(own_cluster(_CLUSTER))
            url = cluster.create() if disk is None else cluster.create_in(disk)
        server = stack.enter_context(Server(folder / "home", database_url=url))
        proxy = Proxy(target_port=server.port)
        stack.callback(proxy.close)
        yield World(database, folder, server, proxy, cluster, disk, no_disk)
