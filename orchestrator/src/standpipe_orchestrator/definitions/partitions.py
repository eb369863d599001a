"""Partitions: the slices in which an asset is made, and for times the window each key stands for.

The one invariant: a key is accepted only if the definition itself would write it, so that one slice has one name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeAlias
from zoneinfo import ZoneInfo

from standpipe_orchestrator.errors import InvalidDefinition, InvalidPartition


@dataclass(frozen=True, slots=True)
class PartitionTimeWindow:
    """Start (included) and end (excluded), with a time zone."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, init=False)
class StaticPartitionsDefinition:
    """A fixed list of keys."""

    partition_keys: tuple[str, ...]

    def __init__(self, partition_keys: Sequence[str]) -> None:
        keys = tuple(partition_keys)
        if not keys or len(set(keys)) != len(keys) or not all(keys):
            raise InvalidDefinition(f"Expected distinct partition keys, at least one and none empty, got {list(keys)}.")
        object.__setattr__(self, "partition_keys", keys)

    def get_partition_keys(self, current_time: datetime | None = None) -> list[str]:
        del current_time
        return list(self.partition_keys)

    def require(self, partition_key: str, *, current_time: datetime | None = None) -> None:
        """Raises:
        InvalidPartition: there is no such key.
        """
        del current_time
        if partition_key not in self.partition_keys:
            known = ", ".join(self.partition_keys[:12]) + (", …" if len(self.partition_keys) > 12 else "")
            raise InvalidPartition(f"There is no partition {partition_key!r}; expected one of {known}.")

    def time_window(self, partition_key: str) -> PartitionTimeWindow | None:
        del partition_key
        return None


@dataclass(frozen=True, slots=True, init=False)
class _TimePartitions(ABC):
    start: datetime
    end: datetime | None
    fmt: str

    def __init__(
        self,
        start_date: datetime | str,
        end_date: datetime | str | None = None,
        *,
        fmt: str = "%Y-%m-%d",
        timezone: str = "UTC",
    ) -> None:
        # Windows brings no time zone data; UTC needs none.
        zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
        first = _instant(start_date, fmt, zone)
        start = self._floor(first)
        if start < first:
            start = self._next(start)
        end = None if end_date is None else _instant(end_date, fmt, zone)
        if end is not None and end <= start:
            raise InvalidDefinition(f"The partitions end ({end}) before they start ({start}).")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)
        object.__setattr__(self, "fmt", fmt)
        first, second = (self._window_of(each.strftime(fmt)) for each in (start, self._next(start)))
        if first is None or second is None or first == second:
            raise InvalidDefinition(
                f"The format {fmt!r} does not name one {self._unit()} exactly; add what is missing."
            )

    def get_partition_keys(self, current_time: datetime | None = None) -> list[str]:
        """The keys of all windows that are over by `end_date`, or by now where that is open."""
        end, keys, start = self._end(current_time), list[str](), self.start
        while (following := self._next(start)) <= end:
            keys.append(start.strftime(self.fmt))
            start = following
        return keys

    def require(self, partition_key: str, *, current_time: datetime | None = None) -> None:
        """Raises:
        InvalidPartition: it is no key of this definition, or its window is not over yet.
        """
        window = self._window_of(partition_key)
        end = self._end(current_time)
        if window is None or window.start < self.start or window.end > end:
            last = self._floor(end - timedelta(microseconds=1))
            while self._next(last) > end:
                last = self._floor(last - timedelta(microseconds=1))
            raise InvalidPartition(
                f"There is no partition {partition_key!r}; expected a {self._unit()} from "
                f"{self.start.strftime(self.fmt)!r} to {last.strftime(self.fmt)!r}."
            )

    def time_window(self, partition_key: str) -> PartitionTimeWindow | None:
        return self._window_of(partition_key)

    def _window_of(self, partition_key: str) -> PartitionTimeWindow | None:
        try:
            start = datetime.strptime(partition_key, self.fmt).replace(tzinfo=self.start.tzinfo)
        except ValueError:
            return None
        # strptime is lenient ("2013-1"); one slice has one name, or its history falls apart.
        if start.strftime(self.fmt) != partition_key or self._floor(start) != start:
            return None
        return PartitionTimeWindow(start, self._next(start))

    def _end(self, current_time: datetime | None) -> datetime:
        return self.end if self.end is not None else (current_time or datetime.now(UTC))

    @abstractmethod
    def _floor(self, instant: datetime) -> datetime: ...

    @abstractmethod
    def _next(self, start: datetime) -> datetime: ...

    @abstractmethod
    def _unit(self) -> str: ...


class DailyPartitionsDefinition(_TimePartitions):
    """A partition a day, from `start_date` on, while a day ends by `end_date` (or by now)."""

    __slots__ = ()

    def _floor(self, instant: datetime) -> datetime:
        return instant.replace(hour=0, minute=0, second=0, microsecond=0)

    def _next(self, start: datetime) -> datetime:
        return start + timedelta(days=1)

    def _unit(self) -> str:
        return "day"


class MonthlyPartitionsDefinition(_TimePartitions):
    """A partition a month, from `start_date` on, while a month ends by `end_date` (or by now)."""

    __slots__ = ()

    def _floor(self, instant: datetime) -> datetime:
        return instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def _next(self, start: datetime) -> datetime:
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)

    def _unit(self) -> str:
        return "month"


PartitionsDefinition: TypeAlias = StaticPartitionsDefinition | DailyPartitionsDefinition | MonthlyPartitionsDefinition


def _instant(value: datetime | str, fmt: str, zone: tzinfo) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.strptime(value, fmt)  # noqa: DTZ007  the zone is put on below
        except ValueError:
            raise InvalidDefinition(f"The date {value!r} is not in the format {fmt!r}.") from None
    return value.replace(tzinfo=zone) if value.tzinfo is None else value.astimezone(zone)
