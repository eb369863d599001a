"""The token bucket of an invocation's requests, with a clock that the test moves."""

from __future__ import annotations

import pytest

from standpipe_server.api.access.rate_limits import BURST_SECONDS, Rates


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_ten_seconds_worth_may_come_at_once_and_then_each_at_its_time() -> None:
    clock = Clock()
    rates = Rates(per_second=2, monotonic=clock)
    assert [rates.wait(1) for _ in range(2 * int(BURST_SECONDS))] == [0.0] * 20
    assert rates.wait(1) == pytest.approx(0.5)
    clock.now += 0.25
    assert rates.wait(1) == pytest.approx(0.25)
    clock.now += 0.25
    assert (rates.wait(1), rates.wait(1)) == (0.0, pytest.approx(0.5))


def test_what_is_refused_takes_nothing_so_that_whoever_keeps_asking_gets_through_at_the_rate() -> None:
    clock = Clock()
    rates = Rates(per_second=5, monotonic=clock)
    passed = 0
    for _ in range(1_000):
        clock.now += 0.01
        passed += rates.wait(1) == 0.0
    assert passed == pytest.approx(5 * BURST_SECONDS + 5 * 10, abs=1)


def test_one_invocation_takes_nothing_from_another() -> None:
    rates = Rates(per_second=1, monotonic=Clock())
    while rates.wait(1) == 0.0:
        pass
    assert rates.wait(2) == 0.0


def test_zero_limits_nothing() -> None:
    rates = Rates(per_second=0, monotonic=Clock())
    assert not any(rates.wait(1) for _ in range(100_000))


def test_the_memory_of_many_invocations_is_bounded_and_lets_nobody_wait_who_need_not() -> None:
    clock = Clock()
    rates = Rates(per_second=1, monotonic=clock)
    for pk in range(25_000):
        clock.now += 0.001
        assert rates.wait(pk) == 0.0
    assert len(rates) <= 10_000
