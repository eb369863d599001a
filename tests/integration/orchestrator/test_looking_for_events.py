"""Events that the client asks for by what they hold: the broker looks for them, and only they travel."""

from __future__ import annotations

from standpipe_orchestrator import BrokerClient
from tests.support.server import Server
from tests.support.wire import closed, custom, log, opened, register


def test_a_search_goes_on_where_one_request_has_found_nothing(sqlite_server: Server) -> None:
    job = register(sqlite_server)
    for start in range(7):
        # More than one request looks at.
        batch = [log(f"line {start * 9_000 + number}") for number in range(9_000)]
        assert job.append(batch, producer="p", first_seq=1 + start * 9_000).is_success
    job.append([log("Needle"), custom("needle"), closed()], producer="p", first_seq=63_001)
    with BrokerClient(sqlite_server.url, api_key=sqlite_server.api_key) as client:
        assert client.events.read(job.id, text="needle").items == ()
        assert [e.position for e in client.events.iterate(job.id, text="needle")] == [63_001, 63_002]
        assert [e.position for e in client.events.iterate(job.id, text="needle", methods=["log"])] == [63_001]


def test_a_rejected_log_is_among_the_errors(sqlite_server: Server) -> None:
    job = register(sqlite_server)
    odd = {"method": "log", "params": {"message": "odd", "level": "SHOUTED"}}
    job.append([opened(), log("a"), odd, log("b", level="CRITICAL"), log("c", level="warn")])
    with BrokerClient(sqlite_server.url, api_key=sqlite_server.api_key) as client:
        assert [e.position for e in client.events.iterate(job.id, levels=["ERROR", "CRITICAL"])] == [3, 4]
        assert [e.position for e in client.events.iterate(job.id, levels=["WARNING"])] == [5]
        job.finish()
        with_levels = client.events.stream(job.id, levels=["ERROR"])
        assert [e.position for e in with_levels] == [3]
