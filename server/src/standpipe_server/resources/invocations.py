"""An invocation as the API answers it, and what it is made of: reasons, producers, receipt, progress.

`store.invocations` writes an `Invocation` as it is declared here; what the database holds as JSON goes into it as it
is stored.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, defstruct

from standpipe_protocol.context import KeyRange, TimeWindow
from standpipe_protocol.invocation import Expected, ExpectedCheck, Status, VerdictName
from standpipe_protocol.process_end import Outcome
from standpipe_server.broker.outcome.badge import Badge

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Attempt = Annotated[list[int], Meta(description="Whole numbers, compared in order; none is the first attempt.")]
LaunchStateName = Literal["submitted", "queued", "starting", "running"]
Pipes = Literal["required", "optional"]


def page_of(item: type[Struct], *, name: str | None = None) -> type[Struct]:
    """A page of a list."""
    members = [("items", list[item]), ("next_cursor", str | None)]
    return defstruct(name or f"{item.__name__}Page", members, frozen=True)


class Context(Struct, frozen=True, kw_only=True):
    """What the external process is told. `extras` are carried byte for byte."""

    asset_keys: list[str] | None
    code_version_by_asset_key: dict[str, str | None] | None
    provenance_by_asset_key: dict[str, Raw] | None
    partition_key: str | None
    partition_key_range: KeyRange | None
    partition_time_window: TimeWindow | None
    run_id: str | None
    retry_number: int
    job_name: str | None
    extras: Raw
    extras_omitted: (
        Annotated[bool, Meta(description="In lists: the extras are left out because they are large.")] | UnsetType
    ) = UNSET


class ReportedException(Struct, frozen=True):
    """An exception with what it was raised from."""

    message: str
    stack: list[str]
    name: str | None
    cause: ReportedException | None
    context: ReportedException | None


class Cause(Struct, frozen=True):
    """Why work ended, in the words of its platform."""

    code: str
    detail: str
    signal: str | int | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    peak_memory_bytes: int | UnsetType = UNSET
    node: str | UnsetType = UNSET
    attempt: Attempt | UnsetType = UNSET


class Reason(Struct, frozen=True):
    """Why a verdict is what it is: a code for programs, a sentence for people."""

    code: str
    detail: str
    producer: str | UnsetType = UNSET
    exception: ReportedException | UnsetType | None = UNSET
    exit_code: int | UnsetType = UNSET
    end: Annotated[str, Meta(description="The end of what the work printed.")] | UnsetType | None = UNSET
    cause: Cause | UnsetType = UNSET
    details: Annotated[list[Reason], Meta(description="What this reason explains.")] | UnsetType = UNSET
    asset_key: str | UnsetType = UNSET
    check_name: str | UnsetType = UNSET
    count: int | UnsetType = UNSET


class End(Struct, frozen=True):
    """How a process ended, as its supervisor reported it."""

    exit_code: int | None
    reason: str | None
    launched: bool | None
    outcome: Outcome | UnsetType = UNSET
    cause: Cause | UnsetType = UNSET
    about: Annotated[Attempt, Meta(description="The attempt that all of it is about.")] | UnsetType = UNSET


class Process(Struct, frozen=True):
    """Which process a producer is, as it said when it opened."""

    rank: int | float | str | UnsetType = UNSET
    world_size: int | float | str | UnsetType = UNSET
    host: int | float | str | UnsetType = UNSET
    pid: int | float | str | UnsetType = UNSET


class Producer(Struct, frozen=True, kw_only=True):
    """One process that writes into an invocation."""

    producer: str
    process: Process | None
    opened: bool
    closed: bool
    stored: int
    numbered: int
    rejected: int
    last_word_at: Time | None
    role: Literal["supervisor"] | None
    parent: str | None
    attempt: Attempt | None
    attempt_name: str | None
    superseded: bool
    end: End | None


class ProducerReceipt(Producer, frozen=True, kw_only=True):
    """What a producer sent against what is stored of it."""

    sent: int
    dropped_logs: int
    ledger: Annotated[str, Meta(description="`agrees`, `none`, or a sentence.")]
    sha256: str | None


class Receipt(Struct, frozen=True):
    """What was sent against what is stored, once an invocation has ended."""

    events: int
    rejected: int
    by_method: dict[str, int]
    sent: int
    stored: int
    dropped_logs: int
    whole: bool
    summary: str
    producers: list[ProducerReceipt]


class Note(Struct, frozen=True):
    """What is known besides and makes nothing red."""

    code: str
    detail: str
    producer: str | UnsetType = UNSET
    position: Annotated[int, Meta(description="Of the report whose place this one takes.")] | UnsetType = UNSET


class Platform(Struct, frozen=True):
    """What the launcher said last of where the work is."""

    state: LaunchStateName
    at: Time
    platform: str | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    attempt: Attempt | UnsetType = UNSET
    submitted_at: Time | UnsetType = UNSET
    queued_at: Time | UnsetType = UNSET
    starting_at: Time | UnsetType = UNSET
    running_at: Time | UnsetType = UNSET


class Stage(Struct, frozen=True):
    """A part of the newest attempt's way: how long it was queued, how long it took to start, how long it ran."""

    name: Literal["queued", "starting", "running"]
    begin: Time
    end: Annotated[Time | None, Meta(description="null while it goes on.")]


class EndDescription(Struct, frozen=True):
    """What was said of the end of the work."""

    producer: Annotated[str | None, Meta(description="The supervisor that said it; null for the launcher.")]
    description: Annotated[str, Meta(description="`failed, exit code 137, out-of-memory`.")]
    detail: Annotated[str, Meta(description="What no reason holds: the platform's sentence, the end of the output.")]


class NumberedAttempt(Struct, frozen=True):
    """One of several runs of the same work."""

    attempt: Attempt
    names: list[str]
    producers: int
    superseded: bool


class ReportedKeys(Struct, frozen=True):
    reported: list[str]
    missing: list[str]


class ReportedChecks(Struct, frozen=True):
    reported: list[ExpectedCheck]
    missing: list[ExpectedCheck]


class ReportedMessages(Struct, frozen=True):
    reported: int
    expected: int


class ExpectedProgress(Struct, frozen=True):
    """What of `expected` has come and what is missing."""

    complete: bool
    asset_keys: ReportedKeys
    checks: ReportedChecks
    custom_messages: ReportedMessages


class FailedChecks(Struct, frozen=True):
    """Reported checks that did not pass, by severity."""

    error: int
    warn: int


class Match(Struct, frozen=True, rename={"place": "in"}):
    """Where a searched text was found."""

    place: Literal["names", "reasons", "exception", "rejected", "log"]
    text: str


class Invocation(Struct, frozen=True, kw_only=True):
    """One launch of external work."""

    id: str
    status: Status
    verdict: VerdictName | None
    reasons: list[Reason]
    tags: dict[str, str]
    expected: Expected | None
    launcher: Raw
    receipt: Receipt | None
    platform: Platform | None
    context: Context
    revision: int
    retry_of: str | None
    created_at: Time
    opened_at: Time | None
    ended_at: Time | None
    lease_expires_at: Time | None
    last_position: int
    cancel_requested: bool
    pipes: Pipes
    exit_code: int | None
    outcome: Outcome | None
    cause: Cause | None
    judged_by: Literal["launcher"] | None
    notes: list[Note]
    attempt: Attempt | None
    producers: list[Producer] | UnsetType = UNSET
    expected_progress: ExpectedProgress | UnsetType | None = UNSET
    attempts: list[NumberedAttempt] | UnsetType = UNSET
    description: Annotated[str, Meta(description="How it stands, in a sentence or two.")] | UnsetType = UNSET
    ends: list[EndDescription] | UnsetType = UNSET
    badge: Badge
    waiting: Annotated[
        LaunchStateName | None,
        Meta(description="What the launcher says of work of which no process, or none of the newest attempt, opened."),
    ]
    stages: list[Stage]
    judge: Annotated[str | None, Meta(description="`by exit code` or `by launcher`, where no process reported.")]
    failed_checks: FailedChecks
    duration_seconds: float | None
    heard_at: Time | None
    pinned: bool
    usual_seconds: float | UnsetType | None = UNSET
    matched: list[Match] | UnsetType = UNSET


class InvocationPage(Struct, frozen=True):
    items: list[Invocation]
    next_cursor: str | None
    searched_to: Time | None


class Registered(Struct, frozen=True):
    """An invocation, and what its process needs."""

    invocation: Invocation
    url: str
    token: str
    env: dict[str, str]


class LastGood(Struct, frozen=True):
    """The last green one before, and in what the two are alike."""

    invocation: Invocation | None
    same: list[str]


class Bin(Struct, frozen=True):
    start: Time
    counts: dict[str, int]


class InvocationCounts(Struct, frozen=True):
    """Counts over time, by verdict (or status) or by badge."""

    bin: Literal["day", "hour", "minute"]
    since: Time
    until: Time
    bins: list[Bin]
    total: dict[str, int]


class ChangeDetail(Struct, frozen=True):
    """What more is known of a change: which members there are depends on what changed."""

    reason: str | UnsetType | None = UNSET
    retry_of: str | UnsetType = UNSET
    producer: str | UnsetType = UNSET
    producers: list[str] | UnsetType = UNSET
    count: int | UnsetType = UNSET
    lease_seconds: float | UnsetType = UNSET
    verdict: VerdictName | UnsetType = UNSET
    reasons: Annotated[list[str], Meta(description="Codes.")] | UnsetType = UNSET
    revision: int | UnsetType = UNSET
    exit_code: int | UnsetType | None = UNSET
    launched: bool | UnsetType | None = UNSET
    outcome: Outcome | UnsetType = UNSET
    cause: Cause | UnsetType = UNSET
    about: Attempt | UnsetType = UNSET
    older_attempt: bool | UnsetType = UNSET
    state: LaunchStateName | UnsetType = UNSET
    platform: str | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    attempt: Attempt | UnsetType = UNSET
    number: Annotated[str, Meta(description="Of an attempt, as a text.")] | UnsetType = UNSET
    name: str | UnsetType = UNSET
    problem: Annotated[str, Meta(description="The name of a refused request's problem.")] | UnsetType = UNSET
    status: int | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    length: int | UnsetType = UNSET
    start: str | UnsetType = UNSET
    more: Annotated[int, Meta(description="Refused requests that are not listed.")] | UnsetType = UNSET
    standing: Annotated[int, Meta(description="Refused requests that are not stored.")] | UnsetType = UNSET


class Change(Struct, frozen=True):
    """A change of the invocation itself."""

    at: Time
    change: str
    detail: ChangeDetail
    description: Annotated[str, Meta(description="What happened, in words.")]
    more: Annotated[ChangeDetail, Meta(description="The members of `detail` that the description does not hold.")]


class History(Struct, frozen=True):
    items: list[Change]
    next_cursor: None


class FirstError(Struct, frozen=True):
    """The first error of a kind in an invocation."""

    invocation_id: str
    job_name: str | None
    partition_key: str | None
    kind: Literal["exception", "rejected", "log"]
    position: int
    received_at: Time
    summary: str


ErrorPage = page_of(FirstError, name="ErrorPage")
