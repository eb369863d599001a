"""The registry of problem types (RFC 9457): every error the HTTP surface can answer, for server, client and docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from standpipe_protocol.json_text import JsonValue

PROBLEM_MEDIA_TYPE = "application/problem+json"
_PREFIX = "/problems/"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error: its name in the `type` member, its HTTP status, and the further members it brings."""

    name: str
    status: int
    title: str
    members: tuple[str, ...] = ()


PROBLEM_TYPES: Mapping[str, ProblemType] = {
    kind.name: kind
    for kind in (
        ProblemType("malformed", 400, "The request could not be read", ("line", "offset", "header")),
        ProblemType("unauthorized", 401, "No valid credential was given"),
        ProblemType("forbidden-host", 403, "This host name is not served here"),
        ProblemType("wrong-csrf-token", 403, "A session's cookie came without the token of its page"),
        ProblemType("not-found", 404, "There is nothing here, or it is not yours"),
        ProblemType("method-not-allowed", 405, "This resource does not take this method", ("allowed",)),
        ProblemType("sequence-gap", 409, "The batch leaves a gap in its producer's sequence", ("expected_seq",)),
        ProblemType("invocation-ended", 409, "The invocation has ended", ("verdict", "last_position")),
        ProblemType("invocation-running", 409, "The invocation has not ended"),
        ProblemType("invocation-pinned", 409, "The invocation is pinned"),
        ProblemType(
            "duplicate-materialization", 409, "The asset was already materialized in this invocation", ("asset_key",)
        ),
        ProblemType("idempotency-conflict", 409, "The idempotency key was used for another request", ("invocation",)),
        ProblemType("too-large", 413, "Something in the request is larger than the limit", ("limit", "limit_name")),
        ProblemType("unsupported-media-type", 415, "The body's type or encoding is not known here", ("expected",)),
        ProblemType("invalid-message", 422, "The message breaks a rule of its method", ("pointer", "expected")),
        ProblemType("invalid-request", 422, "The request breaks a rule", ("pointer", "expected")),
        ProblemType("rate-limited", 429, "Too many requests for this token", ("retry_after",)),
        ProblemType("internal", 500, "The server failed", ("request_id",)),
        ProblemType("overloaded", 503, "The server has more to do than it can hold", ("retry_after",)),
    )
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: its kind, what happened, and the members of that kind."""

    name: str
    detail: str
    members: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    @property
    def kind(self) -> ProblemType:
        return PROBLEM_TYPES.get(self.name) or ProblemType(self.name, 500, self.name.replace("-", " "))

    @property
    def status(self) -> int:
        return self.kind.status

    def to_wire(self) -> dict[str, JsonValue]:
        kind = self.kind
        return {
            "type": _PREFIX + kind.name,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            **self.members,
        }

    @classmethod
    def from_answer(cls, wire: JsonValue, *, content_type: str, status: int) -> Problem | None:
        """The problem in an answer's body; None where no server of this protocol answered: proxies send problem
        documents too."""
        if content_type.partition(";")[0].strip().lower() != PROBLEM_MEDIA_TYPE or not isinstance(wire, dict):
            return None
        name = wire.get("type")
        if not isinstance(name, str) or not name.startswith(_PREFIX) or wire.get("status", status) != status:
            return None
        return cls.from_wire(wire)

    @classmethod
    def from_wire(cls, wire: Mapping[str, JsonValue]) -> Problem:
        name = str(wire.get("type", "")).removeprefix(_PREFIX)
        rest = {key: value for key, value in wire.items() if key not in ("type", "title", "status", "detail")}
        return cls(name or "unknown", str(wire.get("detail", "")), rest)
