"""Captured output in pieces: lines at once, beginnings of lines later, redrawn lines by their last state."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from standpipe_orchestrator.launchers.captured_text import PIECE_CHARACTERS, CapturedText
from standpipe_orchestrator.reading.log_lines import last_state, last_states


class Stream:
    """Captured text with a clock."""

    def __init__(self) -> None:
        self.text = CapturedText()
        self.now = 0.0
        self.pieces: list[str] = []
        self.lines: list[str | None] = []

    def come(self, text: str, *, at: float | None = None) -> list[str]:
        self.now = self.now if at is None else at
        return self._note(list(self.text.take(text, now=self.now)))

    def wait(self, until: float) -> list[str]:
        self.now = until
        return self._note(list(self.text.overdue(now=until)))

    def end(self) -> list[str]:
        return self._note(list(self.text.flush()))

    def _note(self, pieces: list[object]) -> list[str]:
        found = [(piece.text, piece.line) for piece in pieces]  # pyright: ignore
        self.pieces += [text for text, _ in found]
        self.lines += [line for _, line in found]
        return [text for text, _ in found]


def test_lines_go_at_once_and_the_beginning_of_one_waits_two_seconds() -> None:
    stream = Stream()
    assert stream.come("one\ntwo\nthr", at=0.0) == ["one\ntwo\n"]
    assert stream.come("e", at=1.9) == []
    assert stream.wait(1.99) == []
    assert stream.wait(2.0) == ["thre"]
    assert stream.text.due is None
    assert stream.come("e\nfour\nfi", at=2.5) == ["e\nfour\n"]
    assert stream.end() == ["fi"]
    assert stream.lines == [None, None, "three", None]


def test_a_line_that_never_ends_goes_by_8_kib() -> None:
    stream = Stream()
    for _ in range(9):
        stream.come("x" * 1000)
    assert [len(text) for text in stream.pieces] == [9000]
    stream.come("y" * 8193)
    assert stream.lines[1] == "x" * 512 + "y" * 8193


def test_dots_that_come_one_by_one_are_a_piece_every_two_seconds_and_a_search_finds_the_whole_line() -> None:
    stream = Stream()
    stream.come("working", at=0.0)
    for tenth in range(1, 61):
        stream.come(".", at=tenth / 10)
    stream.come(" done\n")
    assert len(stream.pieces) <= 4
    assert stream.lines[-1] == f"working{'.' * 60} done"
    assert "".join(stream.pieces) == f"working{'.' * 60} done\n"


def test_of_a_line_that_is_redrawn_the_last_state_goes_at_most_once_a_second() -> None:
    stream = Stream()
    for tenth in range(600):
        stream.come(f"\r{tenth / 6:3.0f}%", at=tenth / 10)
    stream.come("\rdone\n")
    assert len(stream.pieces) <= 31
    assert stream.pieces[-1] == "\rdone\n"
    assert stream.lines == [None] * len(stream.pieces)
    assert last_states("".join(stream.pieces)) == "done\n"


def test_a_carriage_return_at_the_end_of_a_line_is_no_redraw() -> None:
    stream = Stream()
    stream.come("one\r")
    assert stream.come("\ntwo\r\nthree\r\r\n") == ["one\r\ntwo\r\nthree\r\r\n"]
    assert last_states("".join(stream.pieces)) == "one\ntwo\nthree\n"


def test_a_state_that_a_carriage_return_has_ended_is_not_gone_on_with() -> None:
    stream = Stream()
    for at, state in enumerate(["50%\r", "60%\r", "done\n", "70%\r", "\n", "80%\r", "\r", "\r\n", "next\n"]):
        stream.come(state, at=3.0 * at)
        stream.wait(3.0 * at + 2.0)
    assert stream.pieces == ["50%\r", "60%\r", "done\n", "70%\r", "\n", "80%\r", "\r", "\r\n", "next\n"]
    assert stream.lines == [None, None, None, None, "70%", None, None, None, None]


def test_a_line_that_a_long_piece_breaks_off_is_told_without_its_earlier_states() -> None:
    stream = Stream()
    rest = "x" * (PIECE_CHARACTERS - 5)
    stream.come(f"{rest}\n50%\rdone\n")
    assert stream.pieces == [f"{rest}\n\rdon", "e\n"]
    assert stream.lines == [None, "done"]


@given(st.lists(st.tuples(st.text("ab\r\n", max_size=8), st.floats(0, 3)), max_size=20))
def test_a_line_is_told_where_a_piece_goes_on_with_it_and_nowhere_else(texts: list[tuple[str, float]]) -> None:
    stream = Stream()
    for text, seconds in texts:
        stream.come(text)
        stream.wait(stream.now + seconds)
    stream.end()
    before = ""
    for piece, line in zip(stream.pieces, stream.lines, strict=True):
        begun, first = before.rpartition("\n")[2], piece.partition("\n")[0]
        shown = last_state(begun + first)
        if line is None:
            # A search for it is answered by one piece.
            assert shown in (last_state(begun), last_state(first))
        else:
            assert last_state(line) == shown
        before += piece


@given(st.lists(st.tuples(st.text("ab\r\n", max_size=8), st.floats(0, 3)), max_size=20))
def test_whatever_comes_the_pieces_show_what_a_terminal_shows(texts: list[tuple[str, float]]) -> None:
    stream = Stream()
    for text, seconds in texts:
        stream.come(text)
        stream.wait(stream.now + seconds)
    stream.end()
    assert last_states("".join(stream.pieces)) == last_states("".join(text for text, _ in texts))
    for piece, line in zip(stream.pieces, stream.lines, strict=True):
        assert line is None or line.endswith(piece.partition("\n")[0])
