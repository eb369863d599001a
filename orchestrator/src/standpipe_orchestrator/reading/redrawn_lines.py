"""What a terminal shows of text in which carriage returns have redrawn lines. Pure."""

from __future__ import annotations


def last_state(line: str) -> str:
    """What is left of one line, without the carriage returns at its end."""
    shown = line.rstrip("\r")
    return shown[shown.rfind("\r") + 1 :]


def last_state_so_far(line: str) -> str:
    """A line that has not ended without the states that are certainly over; what comes next may go on with it."""
    shown = line.rstrip("\r")
    return line[shown.rfind("\r") + 1 :]


def last_states(text: str) -> str:
    """The same of each line of a text."""
    return "\n".join(map(last_state, text.split("\n"))) if "\r" in text else text
