"""A user id that the system does not know, and no HOME: the broker is there, and what is reported arrives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from standpipe.testing import recording_broker
from tests.support.processes import child_environment, run_python

# Everything is imported first: the interpreter may be where only root may read. No data folder of another user is used.
SCRIPT = """
import os, sys
import standpipe.delivery.outbox, standpipe.http.transport, multiprocessing.util, encodings.idna
from standpipe import open_pipes
from standpipe_protocol.bootstrap import Bootstrap
transport = standpipe.http.transport.Transport(Bootstrap.from_environment(os.environ), environment=os.environ)
transport.get_context()
transport.close()
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
assert os.path.expanduser("~") in ("~", "", "/")
with open_pipes() as context:
    context.report_asset_materialization(asset_key="orders")
    context.log.info("done")
report = context.close()
assert report.complete, report
print("the work is done")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(
    "variables",
    [{}, {"HOME": ""}, {"STANDPIPE_HOME": "~nobody-of-this-name/x"}, {"XDG_DATA_HOME": "/nonexistent"}],
    ids=["none", "empty", "unknown", "unwritable"],
)
def test_without_a_home_reports_arrive_where_the_broker_is(tmp_path: Path, variables: dict[str, str]) -> None:
    removed = {"HOME": None, "STANDPIPE_HOME": None, "XDG_DATA_HOME": None, "USERPROFILE": None}
    with recording_broker(asset_keys=["orders"]) as broker:
        environment = child_environment({**removed, **broker.environment(), **variables})
        assert "the work is done" in run_python("-c", SCRIPT, env=environment, cwd=Path("/"), timeout=45).stdout
        assert [one.method for one in broker.messages] == ["opened", "report_asset_materialization", "log", "closed"]
