"""Lines of a log: made of messages and of captured output in pieces that end anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_orchestrator.reading.log_lines import LineSelection, LogLine, LogLines
from standpipe_protocol.invocation import Event


def event(
    position: int, method: str, params: Any, *, producer: str = "p", problem: Any = None, details: Any = None
) -> Event:
    return Event(
        position=position,
        producer=producer,
        seq=position,
        method=method,
        params=params,
        received_at="2026-01-31T12:00:00Z",
        problem=problem,
        details=details,
    )


def captured(position: int, text: str, *, stream: str = "stdout", producer: str = "p") -> Event:
    return event(position, "log_external_stream", {"stream": stream, "text": text}, producer=producer)


def lines_of(*events: Event) -> list[LogLine]:
    lines = LogLines()
    return [line for one in events for line in lines.take(one)] + list(lines.rest())


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from("ab"), st.text("xy\n", max_size=6))))
def test_all_captured_text_comes_out_once_and_in_its_order_within_its_stream(
    pieces: list[tuple[str, str, str]],
) -> None:
    found = lines_of(
        *(captured(number, text, stream=stream, producer=who) for number, (stream, who, text) in enumerate(pieces, 1))
    )

    for stream in ("stdout", "stderr"):
        for who in "ab":
            sent = "".join(text for s, w, text in pieces if (s, w) == (stream, who))
            whole = sent.removesuffix("\n").split("\n") if sent else []
            assert [line.text for line in found if (line.source, line.producer) == (stream, who)] == whole


def test_a_line_that_never_ends_is_given_before_it_fills_the_memory() -> None:
    lines = LogLines()

    assert [len(line.text) for line in lines.take(captured(1, "x" * 100_000))] == [100_000]
    assert list(lines.rest()) == []


def test_a_rejected_message_is_not_missing_among_the_lines() -> None:
    (line,) = lines_of(event(1, "log", {"message": "odd", "level": "LOUD"}, problem={"detail": "no such level"}))

    assert (line.text, line.rejected, line.level) == ("odd", True, "ERROR")


@pytest.mark.parametrize(
    ("wanted", "texts"),
    [
        (LineSelection(), ["quiet", "Loud", "fatal", "out"]),
        (LineSelection(level="WARNING"), ["Loud", "fatal"]),
        (LineSelection(sources=frozenset({"stdout"})), ["out"]),
        (LineSelection(text="LOUD"), ["Loud"]),
        (LineSelection(text="x"), []),
    ],
)
def test_lines_are_chosen_by_level_source_and_text(wanted: LineSelection, texts: list[str]) -> None:
    found = lines_of(
        event(1, "log", {"message": "quiet", "level": "debug"}),
        event(2, "log", {"message": "Loud", "level": "warn"}),
        event(3, "log", {"message": "fatal", "level": "FATAL"}),
        event(4, "report_custom_message", {"payload": 1}),
        captured(5, "out\r\n"),
    )

    assert [line.text for line in found if wanted(line)] == texts


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["\r  0%\r 50%", "\r100%\n"], ["100%"]),
        ([" 40%", "\r 60%", "\rdone\n", "next\r\n"], ["done", "next"]),
        (["saved\r", "\nsaved\r\r\n"], ["saved", "saved"]),
        (["one\r", "two\r"], ["two"]),
    ],
)
def test_of_a_line_that_was_redrawn_the_last_state_is_given(pieces: list[str], lines: list[str]) -> None:
    assert [line.text for line in lines_of(*(captured(at, text) for at, text in enumerate(pieces, 1)))] == lines


def test_a_traceback_that_was_logged_stands_below_its_message() -> None:
    details = {"exception": "Traceback (most recent call last):\nValueError: no\n", "stack": "Stack:\n  here"}
    logged = event(1, "log", {"message": "failed", "level": "ERROR"}, details=details)
    formatted = event(
        2, "log", {"message": f"failed\n{details['exception']}"}, details={"exception": details["exception"]}
    )

    assert [line.text for line in lines_of(logged, formatted)] == [
        "failed\nTraceback (most recent call last):\nValueError: no\nStack:\n  here",
        f"failed\n{details['exception']}",
    ]
