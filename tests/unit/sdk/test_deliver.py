"""`standpipe deliver`: what processes could not send is sent later, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.outbox import Outbox
from standpipe.spool import Spool, SpoolHeader
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.messages import ReportCustomMessage


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "spool"


def spool_some(broker: RecordingBroker, count: int = 1200) -> Outbox:
    """An outbox whose messages, but for the first, wait in a file."""
    outbox = Outbox.connect(broker.bootstrap)
    outbox.send(ReportCustomMessage(payload=0))
    assert outbox.flush(10)
    broker.stop()
    for n in range(1, count):
        outbox.send(ReportCustomMessage(payload=n))
    assert outbox.close(0).spooled == count - 1
    broker.start()
    return outbox


def test_a_spool_file_is_delivered_in_order_and_goes_away(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = spool_some(broker)
    assert main(["deliver", "--list"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert main(["deliver"]) == 0
    assert "1199 messages delivered" in capsys.readouterr().out
    assert broker.custom_messages == list(range(1200))
    assert {one.producer for one in broker.messages} == {outbox.producer}
    assert list(folder.iterdir()) == []
    assert main(["deliver"]) == 0
    assert "Nothing waits" in capsys.readouterr().out


def test_delivering_twice_doubles_nothing(broker: RecordingBroker, folder: Path) -> None:
    spool_some(broker, 20)
    file = next(folder.iterdir())
    content = file.read_bytes()
    assert main(["deliver"]) == 0
    file.write_bytes(content)
    assert main(["deliver"]) == 0
    assert broker.custom_messages == list(range(20))


def test_a_server_that_is_still_away_leaves_the_file(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool_some(broker, 20)
    broker.stop()
    assert main(["deliver", "--tries", "2"]) == 1
    assert "not delivered after 2 attempts" in capsys.readouterr().err
    broker.start()
    assert main(["deliver"]) == 0
    assert broker.custom_messages == list(range(20))


def test_the_file_of_a_living_process_is_left_alone(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox.connect(broker.bootstrap, memory_messages=2)
    broker.hold()
    for n in range(20):
        outbox.send(ReportCustomMessage(payload=n))
    assert main(["deliver"]) == 1
    assert "in use by another process" in capsys.readouterr().err
    broker.let_go()
    assert outbox.close().complete
    assert broker.custom_messages == list(range(20))


def test_messages_whose_forerunners_died_in_memory_are_stored_all_the_same(
    broker: RecordingBroker, folder: Path
) -> None:
    header = SpoolHeader(bootstrap=broker.bootstrap, producer="dead")
    spool = Spool(folder / "dead.ndjson", header=header, max_bytes=10_000)
    for seq in range(11, 14):
        assert spool.append(seq=seq, body=b'{"method":"report_custom_message","params":{"payload":%d}}' % seq)
    spool.release()
    content = (folder / "dead.ndjson").read_bytes()
    assert main(["deliver"]) == 0
    (folder / "dead.ndjson").write_bytes(content)
    assert main(["deliver"]) == 0
    assert broker.custom_messages == [11, 12, 13]
    # Under a producer of their own, so that the gap stays visible in the first one's numbers.
    assert {one.producer for one in broker.messages} == {"dead.spool"}


def test_a_message_cut_by_a_crash_is_said(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool_some(broker, 5)
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    assert main(["deliver"]) == 0
    assert "the last message was cut" in capsys.readouterr().err
    assert broker.custom_messages == [0, 1, 2, 3]


def test_a_file_that_is_no_spool_is_left_and_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir(parents=True)
    (folder / "other.ndjson").write_text('{"something": "else"}\n')
    assert main(["deliver"]) == 1
    assert "cannot be delivered" in capsys.readouterr().err
    assert (folder / "other.ndjson").exists()


def test_a_full_disk_is_no_half_message(broker: RecordingBroker, folder: Path) -> None:
    header = SpoolHeader(bootstrap=broker.bootstrap, producer="p")
    spool = Spool(folder / "p.ndjson", header=header, max_bytes=400)
    kept = 0
    while spool.append(seq=kept + 1, body=b'{"method":"report_custom_message","params":{"payload":1}}'):
        kept += 1
    spool.release()
    assert kept > 0
    assert len((folder / "p.ndjson").read_text().splitlines()) == kept + 1


def test_a_producer_that_spools_again_does_not_overwrite_its_first_file(broker: RecordingBroker, folder: Path) -> None:
    header = SpoolHeader(bootstrap=broker.bootstrap, producer="p")
    first = Spool(folder / "p.ndjson", header=header, max_bytes=400)
    second = Spool(folder / "p.ndjson", header=header, max_bytes=400)
    assert first.path != second.path
    first.discard()
    second.discard()
    assert list(folder.iterdir()) == []
