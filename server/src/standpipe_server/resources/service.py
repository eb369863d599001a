"""Bodies that clients send, the answers to the external process, and what the server answers of itself."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, defstruct

from standpipe_protocol.context import KeyRange, TimeWindow
from standpipe_protocol.invocation import Expected, VerdictName
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import METHODS
from standpipe_protocol.problems import PROBLEM_TYPES
from standpipe_protocol.process_end import Outcome
from standpipe_server.resources.invocations import Cause, Context, LaunchStateName, Pipes, Time

_KINDS = tuple(f"/problems/{name}" for name in PROBLEM_TYPES)


class Control(Struct, frozen=True):
    """What every answer to the external process carries."""

    cancel_requested: bool
    superseded: Annotated[bool, Meta(description="A newer attempt has begun.")] | UnsetType = UNSET


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457 problem details. The list of types grows; an unknown one means what its status says."""

    type: Annotated[str, Meta(extra_json_schema={"examples": list(_KINDS)}, pattern="^/problems/")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    pointer: Annotated[str, Meta(description="JSON Pointer (RFC 6901) to what is wrong.")] | UnsetType = UNSET
    expected: Annotated[str, Meta(description="What should have been there.")] | UnsetType = UNSET
    line: int | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    header: str | UnsetType = UNSET
    allowed: list[str] | UnsetType = UNSET
    expected_seq: int | UnsetType = UNSET
    verdict: VerdictName | UnsetType = UNSET
    asset_key: str | UnsetType = UNSET
    invocation: str | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    limit_name: str | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    control: Control | UnsetType = UNSET
    stored: Annotated[bool, Meta(description="Of a bare message: it is stored as rejected.")] | UnsetType = UNSET
    position: int | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    accepted_through: int | UnsetType = UNSET
    last_position: int | UnsetType = UNSET


class Message(Struct, frozen=True):
    method: Annotated[str, Meta(extra_json_schema={"enum": sorted(METHODS)})]
    params: Raw | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    details: Raw | UnsetType = UNSET
    ledger: Raw | UnsetType = UNSET


class Rejection(Struct, frozen=True):
    index: int
    seq: int
    position: int
    problem: Problem


class AppendAnswer(Struct, frozen=True):
    accepted_through: int
    last_position: int
    results: list[Rejection]
    control: Control


class GivenContext(Struct, frozen=True):
    """What the external process is to be told; what is missing is null."""

    asset_keys: list[str] | UnsetType | None = UNSET
    code_version_by_asset_key: dict[str, str | None] | UnsetType | None = UNSET
    provenance_by_asset_key: dict[str, Raw] | UnsetType | None = UNSET
    partition_key: str | UnsetType | None = UNSET
    partition_key_range: KeyRange | UnsetType | None = UNSET
    partition_time_window: TimeWindow | UnsetType | None = UNSET
    run_id: str | UnsetType | None = UNSET
    job_name: str | UnsetType | None = UNSET
    retry_number: int | UnsetType | None = UNSET
    extras: Raw | UnsetType = UNSET


class Registration(Struct, frozen=True):
    context: GivenContext | UnsetType = UNSET
    expected: Expected | UnsetType | None = UNSET
    tags: dict[str, str] | UnsetType | None = UNSET
    launcher: Raw | UnsetType = UNSET
    retry_of: str | UnsetType | None = UNSET
    lease_seconds: float | UnsetType | None = UNSET
    open_within_seconds: float | UnsetType | None = UNSET
    settle_seconds: float | UnsetType | None = UNSET
    pipes: Pipes | UnsetType | None = UNSET


class ReasonGiven(Struct, frozen=True):
    reason: str | UnsetType | None = UNSET


class Finish(Struct, frozen=True):
    exit_code: int | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
    launched: bool | UnsetType | None = UNSET
    outcome: Outcome | UnsetType | None = UNSET
    cause: Cause | UnsetType | None = UNSET


class Launch(Struct, frozen=True):
    state: LaunchStateName
    platform: str | UnsetType | None = UNSET
    job_id: str | UnsetType | None = UNSET
    node: str | UnsetType | None = UNSET
    image: str | UnsetType | None = UNSET
    url: str | UnsetType | None = UNSET
    attempt: int | list[int] | UnsetType | None = UNSET
    at: Time | UnsetType | None = UNSET


class AttemptNumber(Struct, frozen=True):
    attempt: int | list[int]
    name: str | UnsetType | None = UNSET


class Heartbeat(Struct, frozen=True):
    producer: str | UnsetType | None = UNSET
    numbered: int | UnsetType | None = UNSET


class Lease(Struct, frozen=True):
    seconds: float
    expires_at: Time | None


class HeartbeatAnswer(Struct, frozen=True):
    control: Control
    lease: Lease


_LIMITS = [(each.name, int) for each in fields(Limits)]
PublishedLimits = defstruct("Limits", _LIMITS, frozen=True)
LimitsAnswer = defstruct("LimitsAnswer", [*_LIMITS, ("protocol", str), ("server_version", str)], frozen=True)


class ContextAnswer(Struct, frozen=True):
    """What an external process is told."""

    context: Context
    protocol: str
    limits: PublishedLimits  # pyright: ignore[reportInvalidTypeForm]  a class of the limits' fields
    lease: Lease
    control: Control


class Health(Struct, frozen=True):
    status: Literal["ok", "not ready"]


class LoginLink(Struct, frozen=True):
    url: str
    expires_in_seconds: int
