"""The badge is the worst of verdict, checks and completeness."""

from __future__ import annotations

import pytest

from standpipe_server.broker.outcome.badge import badge_of, family_of


@pytest.mark.parametrize(
    ("status", "verdict", "cancel_requested", "failed", "warned", "badge"),
    [
        ("registered", None, False, 0, 0, "registered"),
        ("running", None, False, 0, 0, "running"),
        ("running", None, True, 0, 3, "cancelling"),
        ("running", None, True, 1, 0, "check-failed"),
        ("ended", "succeeded", False, 0, 0, "succeeded"),
        ("ended", "succeeded", True, 0, 0, "succeeded"),
        ("ended", "succeeded", False, 0, 1, "warned"),
        ("ended", "succeeded", False, 1, 1, "check-failed"),
        ("ended", "incomplete", False, 5, 5, "incomplete"),
        ("ended", "lost", True, 1, 0, "lost"),
        ("ended", "failed", False, 0, 0, "failed"),
        ("ended", "cancelled", True, 0, 0, "cancelled"),
    ],
)
def test_the_first_row_that_fits_gives_the_badge(
    *, status: str, verdict: str | None, cancel_requested: bool, failed: int, warned: int, badge: str
) -> None:
    told = badge_of(status=status, verdict=verdict, cancel_requested=cancel_requested, failed=failed, warned=warned)
    assert told == badge


def test_a_family_is_a_job_on_its_assets() -> None:
    one = family_of(job_name="nightly", asset_keys='["a"]')
    assert one == family_of(job_name="nightly", asset_keys='["a"]')
    assert one is not None
    assert -(2**63) <= one < 2**63
    others = [("nightly", '["b"]'), ("hourly", '["a"]'), (None, '["a"]'), ("nightly", "[]")]
    assert len({one, *(family_of(job_name=job, asset_keys=keys) for job, keys in others)}) == 5
    assert family_of(job_name=None, asset_keys="[]") is None
