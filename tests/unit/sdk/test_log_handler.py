"""`context.log`, and the handler for everybody's own loggers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from standpipe import PipesContext, StandpipeHandler, open_pipes
from standpipe.context.log_handler import nearest_level
from standpipe.testing import RecordingBroker, recording_broker


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running, running.environment():
        yield running


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("job.of.a.user")
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()
    made.setLevel(logging.NOTSET)


def test_the_contexts_logger_reports_every_level(broker: RecordingBroker) -> None:
    with open_pipes() as pipes:
        assert pipes.log is pipes.log
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(pipes.log, level)("at %s", level)
    assert [(log.level, log.message) for log in broker.logs] == [
        ("DEBUG", "at debug"),
        ("INFO", "at info"),
        ("WARNING", "at warning"),
        ("ERROR", "at error"),
        ("CRITICAL", "at critical"),
    ]


def test_a_record_brings_its_details(broker: RecordingBroker) -> None:
    with open_pipes() as pipes:
        try:
            raise ValueError("no")
        except ValueError:
            pipes.log.exception("failed", extra={"order": 7, "who": object(), "ok": True, "none": None})
    details = broker.logs[0].details
    assert details is not None
    assert str(details["exception"]).endswith("ValueError: no")
    assert details["thread"] == "MainThread"
    assert str(details["source"]).startswith("test_log_handler.py:")
    assert str(details["time"]).endswith("Z")
    fields = details["fields"]
    assert isinstance(fields, dict)
    assert (fields["order"], fields["ok"], fields["none"]) == (7, True, None)
    assert str(fields["who"]).startswith("<object object")


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "DEBUG"), (10, "DEBUG"), (15, "DEBUG"), (25, "INFO"), (26, "WARNING"), (35, "WARNING"), (90, "CRITICAL")],
)
def test_a_level_of_ones_own_becomes_the_nearest_known(number: int, name: str) -> None:
    assert nearest_level(number) == name


def test_a_level_of_ones_own_keeps_its_name_in_the_details(broker: RecordingBroker) -> None:
    with open_pipes() as pipes:
        pipes.log.log(25, "notice")
    assert broker.logs[0].level == "INFO"
    assert broker.logs[0].details is not None
    assert broker.logs[0].details["level"] == "Level 25"
    assert broker.rejected == ()


def test_the_handler_reports_any_logger_while_a_context_is_open(
    broker: RecordingBroker, logger: logging.Logger
) -> None:
    logger.addHandler(StandpipeHandler(level=logging.INFO))
    logger.info("before there is a context")
    with open_pipes():
        logger.debug("too low")
        logger.info("seen")
    logger.info("after the end")
    assert [log.message for log in broker.logs] == ["seen"]
    assert broker.logs[0].details is not None
    assert broker.logs[0].details["logger"] == "job.of.a.user"


def test_a_formatter_is_obeyed(broker: RecordingBroker, logger: logging.Logger) -> None:
    handler = StandpipeHandler()
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    logger.addHandler(handler)
    with open_pipes():
        logger.info("x")
    assert broker.logs[0].message == "[INFO] x"


def test_a_handler_on_the_root_does_not_report_its_own_reports(broker: RecordingBroker) -> None:
    root = logging.getLogger()
    level, handler = root.level, StandpipeHandler()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with open_pipes() as pipes:
            pipes.report_asset_check("c", True, asset_key="a")
            pipes.report_asset_materialization(asset_key="a")
            # The second one is rejected, which the sender logs.
            pipes._materialized.clear()  # pyright: ignore[reportPrivateUsage]
            pipes.report_asset_materialization(asset_key="a")
            assert pipes.flush(10)
            logging.getLogger("httpx").info("a request of the program's own")
            assert pipes.flush(10)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [log.message for log in broker.logs] == ["a request of the program's own"]
    assert len(broker.rejected) == 1


def test_a_record_that_cannot_be_formatted_does_not_break_the_job(broker: RecordingBroker) -> None:
    with open_pipes() as pipes:
        pipes.log.info("%d", "no number")
        pipes.log.info("next")
    first, second = (log.message for log in broker.logs)
    assert "no number" in first
    assert second == "next"


def test_a_handler_may_be_bound_to_one_context(broker: RecordingBroker, logger: logging.Logger) -> None:
    with open_pipes() as pipes:
        logger.addHandler(StandpipeHandler(pipes))
        PipesContext.set(None)
        logger.info("bound")
        PipesContext.set(pipes)
    assert [log.message for log in broker.logs] == ["bound"]
