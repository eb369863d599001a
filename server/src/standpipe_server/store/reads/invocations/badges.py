"""The badge as a condition and as a column: what `broker.badge` says of one invocation, asked of all of them.

Checks that did not pass stand in a small index of their own, so that one row is asked in a step or two.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, String, and_, case, false, literal, or_, select

from standpipe_server.store.database import tables

_invocation = tables.invocation.c
_HAS_NO_VERDICT = _invocation.verdict.is_(None)
_IS_CANCELLING = and_(_HAS_NO_VERDICT, _invocation.cancel_requested_at.is_not(None))


def badge_column() -> ColumnElement[str]:
    """The badge of a row of `invocation`. It has the rules of `broker.badge.badge_of`, in the same order."""
    return case(
        (_invocation.verdict != "succeeded", _invocation.verdict),
        (_has_not_passed("ERROR"), literal("check-failed", String)),
        (_IS_CANCELLING, literal("cancelling", String)),
        (_HAS_NO_VERDICT, _invocation.status),
        (_has_not_passed("WARN"), literal("warned", String)),
        else_=literal("succeeded", String),
    )


def has_badge(badges: Sequence[str]) -> ColumnElement[bool]:
    """Whether a row of `invocation` has one of these badges; each as a condition that an index serves."""
    return or_(false(), *(_condition(badge) for badge in badges))


def is_clean() -> ColumnElement[bool]:
    """Whether every check of a row of `invocation` passed."""
    return and_(~_has_not_passed("ERROR"), ~_has_not_passed("WARN"))


def _condition(badge: str) -> ColumnElement[bool]:
    succeeded, failed, warned = _invocation.verdict == "succeeded", _has_not_passed("ERROR"), _has_not_passed("WARN")
    match badge:
        case "check-failed":
            return and_(or_(succeeded, _HAS_NO_VERDICT), failed)
        case "warned":
            return and_(succeeded, warned, ~failed)
        case "succeeded":
            return and_(succeeded, is_clean())
        case "cancelling":
            return and_(_IS_CANCELLING, ~failed)
        case "registered" | "running":
            not_asked = _invocation.cancel_requested_at.is_(None)
            return and_(_invocation.status == badge, _HAS_NO_VERDICT, not_asked, ~failed)
        case _:
            return _invocation.verdict == badge


def _has_not_passed(severity: str) -> ColumnElement[bool]:
    check = tables.asset_check.c
    # With the condition of the index, and no alias: a row of `invocation` around it is meant.
    failed = select(check.pk).where(check.invocation_pk == _invocation.pk, ~check.passed, check.severity == severity)
    return failed.correlate(tables.invocation).exists()
