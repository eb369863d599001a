"""`standpipe deliver`: what processes could not send is sent later, once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.delivery.outbox import Outbox
from standpipe.runtime import clock
from standpipe.spool.format import SpoolHeader
from standpipe.spool.spool_file import Spool
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
    assert "not delivered after 2 tries" in capsys.readouterr().err
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
    header = SpoolHeader(bootstrap=broker.bootstrap, producer="dead", first_seq=11)
    spool = Spool(folder / "dead.ndjson", header=header, max_bytes=10_000)
    for seq in range(11, 14):
        assert spool.append(b'{"method":"report_custom_message","params":{"payload":%d}}' % seq)
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
    while spool.append(b'{"method":"report_custom_message","params":{"payload":1}}'):
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


def damage(file: Path, *, line: int) -> None:
    """Changes one character in the middle of a line (0 is the first)."""
    lines = file.read_bytes().splitlines(keepends=True)
    middle = len(lines[line]) // 2
    lines[line] = lines[line][:middle] + b"\0" + lines[line][middle + 1 :]
    file.write_bytes(b"".join(lines))


def test_damaged_messages_are_named_and_cost_no_other(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool_some(broker, 30)
    file = next(folder.iterdir())
    # The file begins with message 2. The first and last are damaged, and two in the middle, of which one line's end.
    for line in (1, 10, 29):
        damage(file, line=line)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[15] = lines[15].rstrip(b"\n")
    file.write_bytes(b"".join(lines))
    before = file.read_bytes()
    assert main(["deliver"]) == 1
    told = capsys.readouterr()
    assert (
        "29 messages delivered, 5 of them rejected (with a note in the place of messages 2, 11, 16-17, 30)" in told.out
    )
    aside = folder / "set-aside" / file.name
    assert (
        f"{file}: damaged on disk: messages 2, 11, 16-17, 30; all others were delivered. The file is now {aside}."
        in (told.err)
    )
    assert broker.custom_messages == [n for n in range(30) if n not in (1, 10, 15, 16, 29)]
    # No gap, and the loss is in the history: each has a note under its number, stored as rejected.
    assert [one.seq for one in broker.messages] == list(range(1, 31))
    assert [(one.seq, one.method) for one in broker.rejected] == [(n, "undeliverable") for n in (2, 11, 16, 17, 30)]
    assert aside.read_bytes() == before
    assert aside.stat().st_mode & 0o777 == 0o600
    assert aside.parent.stat().st_mode & 0o777 == 0o700
    # It is not delivered over and over again.
    assert main(["deliver"]) == 0
    assert main(["deliver", "--list"]) == 0
    assert f"{aside} was set aside: damaged on disk: messages 2, 11, 16-17, 30" in capsys.readouterr().out


def test_a_damaged_first_line_is_set_aside_and_named(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool_some(broker, 5)
    file = next(folder.iterdir())
    file.write_bytes(
        file.read_bytes().replace(broker.invocation.encode(), b"inv_" + b"0" * (len(broker.invocation) - 4))
    )
    assert main(["deliver"]) == 1
    assert "its first line is damaged: its checksum does not fit" in capsys.readouterr().err
    assert (folder / "set-aside" / file.name).exists()
    assert broker.custom_messages == [0]


def test_files_of_the_first_version_are_delivered_and_of_a_later_one_refused_by_name(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    b = broker.bootstrap
    head = {"url": b.url, "invocation": b.invocation, "token": b.token, "producer": "old"}
    lines = [
        b'{"seq":%d,"message":{"method":"report_custom_message","params":{"payload":%d}}}\n' % (n, n) for n in (1, 2)
    ]
    (folder / "old.ndjson").write_bytes(json.dumps({"spool": 1, **head}).encode() + b"\n" + b"".join(lines))
    (folder / "new.ndjson").write_bytes(json.dumps({"spool": 3, **head}).encode() + b"\n" + b"".join(lines))
    assert main(["deliver"]) == 1
    assert "a spool file of version 3, and this version of standpipe reads 1 and 2" in capsys.readouterr().err
    assert broker.custom_messages == [1, 2]
    assert [file.name for file in folder.iterdir()] == ["new.ndjson"]


@pytest.mark.parametrize("reason", ["invocation-ended", "unauthorized"])
def test_a_file_that_is_refused_for_good_is_set_aside_with_the_reason(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    spool_some(broker, 5)
    file = next(folder.iterdir())
    if reason == "invocation-ended":
        broker.end("succeeded")
    else:
        broker.refuse(1, problem="unauthorized")
    assert main(["deliver"]) == 1
    assert reason in capsys.readouterr().err
    aside = folder / "set-aside" / file.name
    assert aside.exists()
    assert reason in aside.with_name(aside.name + ".reason.txt").read_text()
    assert not file.exists()


def test_files_and_folders_can_be_named(
    broker: RecordingBroker, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool_some(broker, 5)
    elsewhere = tmp_path / "copied"
    folder.rename(elsewhere)
    assert main(["deliver", str(elsewhere)]) == 0
    assert broker.custom_messages == list(range(5))
    assert main(["deliver", str(elsewhere / "missing.ndjson")]) == 1
    assert "missing.ndjson" in capsys.readouterr().err


def test_who_closed_is_delivered_after_who_did_not(broker: RecordingBroker, folder: Path) -> None:
    """Because nothing is taken any more once all of an invocation's producers have closed, and it has succeeded."""
    for producer, method in (("parent", b"closed"), ("child", b"opened")):
        header = SpoolHeader(bootstrap=broker.bootstrap, producer=producer, first_seq=1)
        spool = Spool(folder / f"{producer}.ndjson", header=header, max_bytes=10_000)
        assert spool.append(b'{"method":"%s","params":{}}' % method)
        spool.release()
    assert main(["deliver"]) == 0
    assert broker.methods == ("opened", "closed")


def test_what_the_server_has_already_is_not_sent_again(broker: RecordingBroker, folder: Path) -> None:
    spool_some(broker, 1200)
    file = next(folder.iterdir())
    content = file.read_bytes()
    assert main(["deliver"]) == 0
    file.write_bytes(content)
    before = len(broker.requests)
    assert main(["deliver"]) == 0
    assert len(broker.requests) == before + 1
    assert broker.custom_messages == list(range(1200))


def test_what_was_set_aside_is_deleted_after_a_month_and_that_is_said(
    broker: RecordingBroker, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_some(broker, 5)
    broker.end("succeeded")
    assert main(["deliver"]) == 1
    capsys.readouterr()
    assert main(["deliver"]) == 0
    assert len(list((folder / "set-aside").iterdir())) == 2
    now = time.time()
    # A frozen clock of a test is no reason to delete what was reported.
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86_400)
    assert main(["deliver"]) == 0
    assert len(list((folder / "set-aside").iterdir())) == 2
    monkeypatch.setattr(clock, "wall", lambda: now + 31 * 86_400)
    assert main(["deliver"]) == 0
    assert "was set aside 30 days ago or longer, and is deleted" in capsys.readouterr().err
    assert list((folder / "set-aside").iterdir()) == []
