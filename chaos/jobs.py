"""The jobs that things are broken beside: what is launched, which of its processes report, and what may come of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from chaos.proxy import Call

Column: TypeAlias = Literal[Call, "a child ends without a word", "the platform starts it again"]
"""A column of the matrix: the call that is broken on its way, or a job whose calls are broken, any of them."""
COLUMNS: Final[tuple[Column, ...]] = get_args(Column)
CALLS: Final[tuple[Call, ...]] = get_args(Call)

MESSAGES: Final = 40
_SECONDS: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is known of a trial that is over. Reports are named by the process that made them."""

    reported: Mapping[str, Sequence[int]]
    stored: Mapping[str, Sequence[int]]
    signalled: Set[str]
    spool_first: bool
    verdict: str
    reasons: Sequence[str]

    def lost(self, source: str) -> list[int]:
        return sorted(set(self.reported.get(source, ())) - set(self.stored.get(source, ())))


class Job:
    """A program that reports from one process, and ends in order."""

    first = "job"
    """The process that the command starts with."""

    def __init__(self, chance: random.Random, *, silence: float) -> None:
        self._chance = chance
        self._silence = silence

    def arguments(self, folder: Path) -> list[str]:
        """What comes after `python -m`."""
        return ["chaos.produce", *self._produce(folder)]

    def _produce(self, folder: Path) -> list[str]:
        sizes = {"--count": MESSAGES, "--seconds": _SECONDS, "--silence": self._silence}
        return [str(folder), *(str(word) for option in sizes.items() for word in option)]

    def may_lose(self, ended: Ended) -> set[str]:
        """The processes that may have taken with them what they had reported."""
        return set() if ended.spool_first else set(ended.signalled)

    def faults(self, ended: Ended) -> list[str]:
        """What is wrong with the verdict."""
        green, reported = ended.verdict == "succeeded", ended.reported.get(self.first, ())
        if green and (ended.lost(self.first) or len(reported) < MESSAGES or ended.signalled):
            return [f"green, and of {len(reported)} are missing {ended.lost(self.first)}; signalled: {ended.signalled}"]
        if not green and not ended.signalled:
            return [f"everything was reported, and the verdict is {ended.verdict}: {ended.reasons}"]
        return []


class ChildWithoutAWord(Job):
    """Its child opens, may report, and leaves past every handler of its end. No such job was ever all right."""

    def arguments(self, folder: Path) -> list[str]:
        kind = self._chance.choice(["program", "fork"])
        # A fork has opened nothing before it reports.
        reports = self._chance.randrange(1 if kind == "fork" else 0, 12)
        by = self._chance.choice(["exit", "SIGKILL"])
        return [*super().arguments(folder), "--child", kind, "--child-reports", str(reports), "--child-ends-by", by]

    def may_lose(self, ended: Ended) -> set[str]:
        return super().may_lose(ended) | (set() if ended.spool_first else {"child"})

    def faults(self, ended: Ended) -> list[str]:
        if "child" not in ended.reported and ended.signalled:
            return []  # its parent was ended before there was a child
        if ended.verdict == "succeeded":
            return ["green, and a child ended without a word"]
        # The lease of a trial is short: the child's may have run out before its launcher's word is taken.
        if not ended.signalled and set(ended.reasons) - {"lease-expired"} != {"never-closed"}:
            return [f"only a child's last word is missing, and the verdict is {ended.verdict}: {ended.reasons}"]
        return []


class StartedAgain(Job):
    """Its first attempt dies, or is given up and goes on; the platform starts it again until an attempt ends well."""

    first = "0"

    def arguments(self, folder: Path) -> list[str]:
        by = self._chance.choice(["exit", "SIGKILL", "SIGTERM", "error", "given-up"])
        after = self._chance.randrange(MESSAGES)
        return ["chaos.platform", *self._produce(folder), "--first-ends-by", by, "--first-ends-after", str(after)]

    def may_lose(self, ended: Ended) -> set[str]:
        # What an older attempt had not delivered does not count any more.
        return set(ended.reported) - {self._last(ended)} | super().may_lose(ended)

    def faults(self, ended: Ended) -> list[str]:
        last = self._last(ended)
        if ended.verdict != "succeeded":
            return [f"attempt {last} ended well, and the verdict is {ended.verdict}: {ended.reasons}"]
        if last == self.first or list(ended.stored.get(last, ())) != list(range(MESSAGES)):
            return [f"green, and stored of the last attempt, {last}, is {ended.stored.get(last)}"]
        return []

    @staticmethod
    def _last(ended: Ended) -> str:
        return max(ended.reported)


JOBS: Final[Mapping[Column, type[Job]]] = {
    "a child ends without a word": ChildWithoutAWord,
    "the platform starts it again": StartedAgain,
}
