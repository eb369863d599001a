"""What a record brings along may be odd: the line arrives all the same, with everything else that it says."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from standpipe import StandpipeHandler, open_pipes
from standpipe.exceptions import describe_exception
from standpipe.testing import RecordingBroker, recording_broker


class Detached:
    """A row of a closed session: it has no text."""

    def __str__(self) -> str:
        raise RuntimeError("the session is closed")

    __repr__ = __str__


class Recursive:
    def __str__(self) -> str:
        return str(self)

    __repr__ = __str__


class NoText(str):
    """A string that does not want to be cut."""

    __slots__ = ()

    def __getitem__(self, key: object) -> str:
        raise KeyError(key)

    def __str__(self) -> str:
        return self


class Hidden(Exception):
    def __str__(self) -> str:
        raise LookupError


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running, running.environment():
        yield running


@pytest.fixture
def logger() -> logging.Logger:
    # Outside of the tree of loggers: pytest's own handler raises where the standard library's print.
    made = logging.Logger("job")
    made.addHandler(StandpipeHandler())
    return made


@pytest.mark.parametrize(
    "odd",
    [Detached(), Recursive(), NoText("x"), [Detached()], 10**5000, float("nan"), "\ud800", object(), b"\xff"],
    ids=lambda odd: type(odd).__name__,
)
def test_an_odd_field_costs_neither_the_line_nor_its_siblings(
    broker: RecordingBroker, logger: logging.Logger, odd: object
) -> None:
    with open_pipes():
        logger.info("saved", extra={"order": 7, "row": odd, "who": "me"})
    (log,) = broker.logs
    assert (log.message, log.level) == ("saved", "INFO")
    assert log.details is not None
    fields = log.details["fields"]
    assert isinstance(fields, dict)
    assert (fields["order"], fields["who"]) == (7, "me")
    assert "row" in fields
    assert broker.rejected == ()


def test_a_field_whose_name_is_no_text_is_a_field(broker: RecordingBroker, logger: logging.Logger) -> None:
    record = logging.makeLogRecord({"msg": "saved", "levelno": 20, "levelname": "INFO", "b": "y"})
    record.__dict__[7] = "x"  # type: ignore[index]  on purpose
    with open_pipes():
        logger.handle(record)
    assert broker.logs[0].details is not None
    assert broker.logs[0].details["fields"] == {"7": "x", "b": "y"}


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("saved %s for %s", (Detached(), "me"), ["saved %s for %s", "RuntimeError", "me"]),
        ("saved %d rows", ("many",), ["saved %d rows", "many"]),
        ("saved %s %s", ("one",), ["saved %s %s", "one"]),
        ("done", ("surplus",), ["done", "surplus"]),
        ("%(missing)s", ({"here": 1},), ["%(missing)s", "here"]),
        (Detached(), (), ["Detached", "RuntimeError"]),
    ],
)
def test_a_message_that_cannot_be_formatted_arrives_in_its_parts(
    broker: RecordingBroker,
    logger: logging.Logger,
    template: object,
    arguments: tuple[object, ...],
    expected: list[str],
) -> None:
    with open_pipes():
        logger.info(template, *arguments)
        logger.info("the next")
    first, second = broker.logs
    assert all(part in first.message for part in expected)
    assert second.message == "the next"


def test_a_formatter_that_raises_costs_its_format_only(broker: RecordingBroker, logger: logging.Logger) -> None:
    logger.handlers[0].setFormatter(logging.Formatter("%(message)s of %(job)s"))
    with open_pipes():
        logger.info("saved")
    assert "saved" in broker.logs[0].message


def test_an_exception_without_text_is_reported_with_its_name(broker: RecordingBroker, logger: logging.Logger) -> None:
    with open_pipes():
        try:
            raise Hidden
        except Hidden:
            logger.exception("failed")
    assert broker.logs[0].message == "failed"
    assert broker.logs[0].details is not None
    assert "Hidden" in str(broker.logs[0].details["exception"])


def test_a_record_without_a_time_gets_one(broker: RecordingBroker, logger: logging.Logger) -> None:
    record = logging.makeLogRecord({"msg": "saved", "levelno": 20, "levelname": "INFO", "created": float("nan")})
    with open_pipes():
        logger.handle(record)
    assert broker.logs[0].details is not None
    assert str(broker.logs[0].details["time"]).endswith("Z")


def test_an_exception_among_others_that_has_no_text_leaves_theirs() -> None:
    group = ValueError("two failed")
    group.exceptions = (Hidden(), KeyError("b"))  # type: ignore[attr-defined]  a group of Python 3.11, also on 3.10
    told = describe_exception(group).message
    assert "two failed" in told
    assert "Hidden" in told
    assert "KeyError: 'b'" in told
