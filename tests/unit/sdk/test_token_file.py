"""A token that is read from a file, again when the server refuses it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe import PipesConfigurationError, PipesUnauthorized, open_pipes
from standpipe.cli import main
from standpipe.delivery.outbox import Outbox
from standpipe.http import transport
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.messages import ReportCustomMessage
from tests.support.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(extras={"day": 29}) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path, broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{broker.token}\n")
    monkeypatch.setenv("STANDPIPE_URL", broker.url)
    monkeypatch.setenv("STANDPIPE_INVOCATION", broker.invocation)
    monkeypatch.setenv("STANDPIPE_TOKEN_FILE", str(path))
    return path


def test_the_token_of_a_file_opens_its_invocation(broker: RecordingBroker, file: Path) -> None:
    with open_pipes() as context:
        assert context.get_extra("day") == 29
    assert broker.methods == ("opened", "closed")


def test_a_token_that_is_renewed_while_the_work_runs_is_used_from_the_next_request_on(
    broker: RecordingBroker, file: Path
) -> None:
    with open_pipes() as context:
        context.report_custom_message("before")
        assert context.flush(10)
        broker.token = "spt_the-next-one"
        file.write_text("spt_the-next-one\n")
        context.report_custom_message("after")
        assert context.flush(10)
    assert broker.methods == ("opened", "report_custom_message", "report_custom_message", "closed")


def test_a_file_that_is_renewed_later_than_the_server_is_waited_for(
    broker: RecordingBroker, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = broker.token
    file.write_text("spt_of-yesterday")
    with open_pipes() as context:
        assert not context.flush(0.5)
        assert "Nothing more is delivered" not in caplog.text
        file.write_text(right)
        assert context.get_extra("day") == 29
    assert broker.methods == ("opened", "closed")
    assert "spt_of-yesterday" not in caplog.text


@pytest.mark.parametrize("first", ["spt_the-ne", "spt_of-an-hour"], ids=["half written", "renewed twice"])
def test_a_renewed_token_that_is_refused_too_is_waited_for_as_the_first_one(
    broker: RecordingBroker, file: Path, caplog: pytest.LogCaptureFixture, first: str
) -> None:
    with open_pipes() as context:
        assert context.flush(10)
        broker.token = "spt_the-next-one"
        file.write_text(first)
        context.report_custom_message("after")
        assert not context.flush(0.5)
        file.write_text("spt_the-next-one\n")
        assert context.flush(10)
    assert broker.methods == ("opened", "report_custom_message", "closed")
    assert "Nothing more is delivered" not in caplog.text
    assert first not in caplog.text


def test_a_renewed_token_that_is_refused_too_is_not_waited_for_without_end(
    broker: RecordingBroker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PATIENCE_SECONDS", 0.0)
    with open_pipes() as context:
        assert context.flush(10)
        broker.token = "spt_the-next-one"
        file.write_text("spt_another")
        context.report_custom_message("after")
        assert not context.flush(10)
        report = context.close()
    assert report is not None
    assert report.error is not None
    assert "401" in report.error


def test_a_file_that_stays_as_it_was_is_not_waited_for_without_end(
    broker: RecordingBroker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PATIENCE_SECONDS", 0.0)
    file.write_text("spt_of-yesterday")
    context = open_pipes()
    with pytest.raises(PipesUnauthorized):
        _ = context.extras
    context.close()


def test_a_file_that_goes_away_keeps_the_token_that_it_held(broker: RecordingBroker, file: Path) -> None:
    with open_pipes() as context:
        assert context.get_extra("day") == 29
        file.unlink()
        context.report_custom_message("after")
    assert broker.methods == ("opened", "report_custom_message", "closed")


def test_without_a_file_there_is_a_sentence_that_names_it(broker: RecordingBroker, file: Path) -> None:
    file.unlink()
    with pytest.raises(PipesConfigurationError, match=r"STANDPIPE_TOKEN_FILE names .*cannot be read: No such file"):
        open_pipes()


def leave_on_disk(broker: RecordingBroker) -> None:
    """What a process with this environment could not deliver."""
    bootstrap = Bootstrap.from_environment(os.environ)
    assert bootstrap is not None
    broker.stop()
    outbox = Outbox.connect(bootstrap, heartbeat=False)
    outbox.send(ReportCustomMessage(payload="late"))
    assert outbox.close(0.2).spooled == 1
    broker.start()


def test_what_waits_on_disk_is_delivered_with_the_token_that_the_file_holds_then(
    broker: RecordingBroker, file: Path
) -> None:
    leave_on_disk(broker)
    broker.token = "spt_the-next-one"
    file.write_text("spt_the-next-one")
    assert main(["deliver"]) == 0
    assert broker.methods == ("report_custom_message",)


@pytest.mark.parametrize(
    "others",
    [
        {"STANDPIPE_URL": "http://127.0.0.1:9"},
        {"STANDPIPE_INVOCATION": "inv_of-another-job"},
        {"STANDPIPE_TOKEN_FILE": "/run/secrets/another"},
        {"STANDPIPE_URL": None, "STANDPIPE_INVOCATION": None, "STANDPIPE_TOKEN_FILE": None},
    ],
    ids=["another server", "another invocation", "another file", "no job"],
)
def test_what_the_file_holds_is_sent_for_no_other_job_that_had_its_token_there(
    broker: RecordingBroker,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    others: dict[str, str | None],
) -> None:
    leave_on_disk(broker)
    own = dict(os.environ)
    for name, value in others.items():
        monkeypatch.delenv(name)
        if value is not None:
            monkeypatch.setenv(name, value)
    # Would it be sent, it would be taken.
    broker.token = "spt_of-another-job"
    file.write_text("spt_of-another-job")
    assert main(["deliver"]) == 1
    assert broker.methods == ()
    told = capsys.readouterr().err
    assert f"{str(file)!r} may hold a newer token" in told
    assert "STANDPIPE_TOKEN_FILE" in told
    # As it says: in the environment of the process that left it.
    for name in others:
        monkeypatch.setenv(name, own[name])
    (left,) = Path(os.environ["STANDPIPE_HOME"]).rglob("*.ndjson")
    assert main(["deliver", str(left)]) == 0
    assert broker.methods == ("report_custom_message",)


def test_what_another_job_left_is_delivered_with_its_own_token(
    broker: RecordingBroker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_on_disk(broker)
    with recording_broker() as own:
        file.write_text(own.token)
        monkeypatch.setenv("STANDPIPE_URL", own.url)
        monkeypatch.setenv("STANDPIPE_INVOCATION", own.invocation)
        with open_pipes():
            broker.wait_for(lambda b: b.methods == ("report_custom_message",))
    assert own.methods == ("opened", "closed")


def test_the_heart_beats_again_once_a_renewed_token_is_taken(
    broker: RecordingBroker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.lease_seconds = 0.3
    monkeypatch.setattr(transport, "PATIENCE_SECONDS", 0.0)
    with open_pipes() as context:
        assert context.flush(10)
        broker.wait_for(lambda b: len(b.heartbeats) >= 1)
        # The program reports nothing, so its heart alone is refused, and gives up.
        broker.token = "spt_the-next-one"
        wait_until(lambda: not has_thread("standpipe-heart"), what="the end of the heart")
        file.write_text("spt_the-next-one")
        context.report_custom_message("after")
        assert context.flush(10)
        count = len(broker.heartbeats)
        broker.wait_for(lambda b: len(b.heartbeats) >= count + 2)


def has_thread(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())
