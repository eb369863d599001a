"""The shapes on the wire, for the OpenAPI document. Lists of names come from the vocabulary, never typed again here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from standpipe_protocol.invocation import STATUSES, VERDICTS
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import METHODS
from standpipe_protocol.problems import PROBLEM_TYPES
from standpipe_protocol.process_end import OUTCOMES
from standpipe_server.broker.badge import BADGES
from standpipe_server.broker.launches import LAUNCH_STATES

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_NUMBER: Final[Schema] = {"type": "number"}
_POINT_VALUE: Final[Schema] = {"anyOf": [_NUMBER, {"enum": ["NaN", "Infinity", "-Infinity"]}, {"type": "null"}]}
_FLAG: Final[Schema] = {"type": "boolean"}
_FREE: Final[Schema] = {"type": "object", "additionalProperties": True}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def _null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _shape(required: dict[str, Schema], /, **optional: Schema) -> Schema:
    """An object that may grow: members that are not named are allowed."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _page(items: Schema) -> Schema:
    return _shape({"items": _list(items), "next_cursor": _null(_TEXT)})


_control = _shape({"cancel_requested": _FLAG}, superseded=_FLAG)
_attempt: Schema = {"anyOf": [_WHOLE, _list(_WHOLE)]}
_cause = _shape(
    {"code": _TEXT, "detail": _TEXT},
    signal=_null({"anyOf": [_TEXT, _WHOLE]}),
    exit_code=_null(_WHOLE),
    peak_memory_bytes=_null(_WHOLE),
    node=_null(_TEXT),
    attempt=_null(_attempt),
)
_outcome: Schema = {"type": "string", "enum": list(OUTCOMES)}
_lease = _shape({"seconds": _NUMBER, "expires_at": _null(_TIME)})
_limits: dict[str, Schema] = {field.name: _WHOLE for field in fields(Limits)}
_COUNTS: Final[Schema] = {"type": "object", "additionalProperties": _WHOLE}
_point = _shape(
    {
        "at": _TIME,
        "value": _POINT_VALUE,
        "invocation_id": _TEXT,
        "position": _WHOLE,
        "partition_key": _null(_TEXT),
        "min": _POINT_VALUE,
        "max": _POINT_VALUE,
        "count": _WHOLE,
    }
)
_different_leaf = _shape({"path": _TEXT, "values": _list({}), "absent": _list(_FLAG), "masked": _FLAG})
_different_entries = {"values": _list(_null(_FREE)), "parts": _list(_different_leaf)}
_event_members: dict[str, Schema] = {
    "position": _WHOLE,
    "producer": _TEXT,
    "seq": _WHOLE,
    "sent_at": _null(_TIME),
    "received_at": _TIME,
    "method": _null(_TEXT),
    "params": {},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        **_shape(
            {
                "type": {"type": "string", "enum": [f"/problems/{name}" for name in PROBLEM_TYPES]},
                "title": _TEXT,
                "status": _WHOLE,
                "detail": _TEXT,
            },
            control=_ref("Control"),
        ),
        "additionalProperties": True,
    },
    "Control": _control,
    "Message": _shape(
        {"method": {"type": "string", "enum": sorted(METHODS)}, "params": _null(_FREE)},
        sent_at=_TIME,
        details=_FREE,
        ledger=_FREE,
    ),
    "Messages": {"anyOf": [_ref("Message"), _list(_ref("Message"))]},
    "AppendAnswer": _shape(
        {
            "accepted_through": _WHOLE,
            "last_position": _WHOLE,
            "results": _list(_shape({"index": _WHOLE, "seq": _WHOLE, "position": _WHOLE, "problem": _ref("Problem")})),
            "control": _ref("Control"),
        }
    ),
    "Registration": _shape(
        {},
        context=_FREE,
        expected=_null(
            _shape(
                {},
                asset_keys=_list(_TEXT),
                checks=_list(_shape({"asset_key": _TEXT, "check_name": _TEXT})),
                custom_messages=_WHOLE,
            )
        ),
        tags=_null({"type": "object", "additionalProperties": _TEXT}),
        launcher={},
        retry_of=_null(_TEXT),
        lease_seconds=_null(_NUMBER),
        open_within_seconds=_null(_NUMBER),
        settle_seconds=_null(_NUMBER),
        pipes=_null({"type": "string", "enum": ["required", "optional"]}),
    ),
    "Registered": _shape(
        {
            "invocation": _ref("Invocation"),
            "url": _TEXT,
            "token": _TEXT,
            "env": {"type": "object", "additionalProperties": _TEXT},
        }
    ),
    "Invocation": _shape(
        {
            "id": _TEXT,
            "status": {"type": "string", "enum": list(STATUSES)},
            "verdict": _null({"type": "string", "enum": list(VERDICTS)}),
            "reasons": _list(_shape({"code": _TEXT, "detail": _TEXT})),
            "revision": _WHOLE,
            "context": _FREE,
            "tags": {"type": "object", "additionalProperties": _TEXT},
            "expected": _null(_FREE),
            "launcher": {},
            "retry_of": _null(_TEXT),
            "created_at": _TIME,
            "opened_at": _null(_TIME),
            "ended_at": _null(_TIME),
            "lease_expires_at": _null(_TIME),
            "last_position": _WHOLE,
            "cancel_requested": _FLAG,
            "receipt": _null(_FREE),
            "pipes": {"type": "string", "enum": ["required", "optional"]},
            "exit_code": _null(_WHOLE),
            "outcome": _null(_outcome),
            "cause": _null(_cause),
            "judged_by": _null({"type": "string", "enum": ["launcher"]}),
            "notes": _list(_shape({"code": _TEXT, "detail": _TEXT})),
            "platform": _null(_FREE),
            "attempt": _null(_list(_WHOLE)),
        },
        attempts=_list(
            _shape({"attempt": _list(_WHOLE), "names": _list(_TEXT), "producers": _WHOLE, "superseded": _FLAG})
        ),
        producers=_list(_FREE),
        expected_progress=_null(_FREE),
        badge={"type": "string", "enum": list(BADGES)},
        failed_checks=_shape({"error": _WHOLE, "warn": _WHOLE}),
        duration_seconds=_null(_NUMBER),
        usual_seconds=_null(_NUMBER),
        heard_at=_null(_TIME),
        pinned=_FLAG,
        matched=_list(_shape({"in": _TEXT, "text": _TEXT})),
    ),
    "InvocationPage": _shape(
        {"items": _list(_ref("Invocation")), "next_cursor": _null(_TEXT), "searched_to": _null(_TIME)}
    ),
    "InvocationCounts": _shape(
        {
            "bin": _TEXT,
            "since": _TIME,
            "until": _TIME,
            "bins": _list(_shape({"start": _TIME, "counts": _COUNTS})),
            "total": _COUNTS,
        }
    ),
    "LastGood": _shape({"invocation": _null(_ref("Invocation")), "same": _list(_TEXT)}),
    "Comparison": _shape(
        {
            "items": _list(_FREE),
            "context": _list(_shape({"name": _TEXT, "values": _list({})})),
            **{
                leaves: _list(_different_leaf)
                for leaves in ("outcome", "extras", "tags", "expected", "launcher", "custom_messages", "counts")
            },
            "materializations": _list(_shape({"asset_key": _TEXT, "values": _list(_null(_FREE))})),
            "metadata": _list(_shape({"asset_key": _TEXT, "label": _TEXT, **_different_entries})),
            "checks": _list(_shape({"asset_key": _TEXT, "check_name": _TEXT, "values": _list(_null(_FREE))})),
            "check_metadata": _list(
                _shape({"asset_key": _TEXT, "check_name": _TEXT, "label": _TEXT, **_different_entries})
            ),
            "logs": _list(
                _shape(
                    {
                        "template": _TEXT,
                        "level": _TEXT,
                        "counts": _list(_WHOLE),
                        "positions": _list(_null(_WHOLE)),
                    }
                )
            ),
            "logs_complete": _list(_FLAG),
            "values_complete": _list(_FLAG),
        }
    ),
    "Reason": _shape({}, reason=_null(_TEXT)),
    "History": _page(_FREE),
    "Finish": _shape(
        {},
        exit_code=_null(_WHOLE),
        reason=_null(_TEXT),
        launched=_null(_FLAG),
        outcome=_null(_outcome),
        cause=_null(_cause),
    ),
    "Launch": _shape(
        {"state": {"type": "string", "enum": list(LAUNCH_STATES)}},
        platform=_null(_TEXT),
        job_id=_null(_TEXT),
        node=_null(_TEXT),
        image=_null(_TEXT),
        url=_null(_TEXT),
        attempt=_null(_attempt),
        at=_null(_TIME),
    ),
    "AttemptNumber": _shape({"attempt": _attempt}, name=_null(_TEXT)),
    "Event": _shape(_event_members, problem=_ref("Problem"), notes=_list(_FREE), details=_FREE, ledger=_FREE),
    "EventPage": _shape(
        {"items": _list(_ref("Event")), "ended": _FLAG, "last_position": _WHOLE},
        next_after=_WHOLE,
        next_before=_null(_WHOLE),
    ),
    "ContextAnswer": _shape(
        {
            "context": _FREE,
            "protocol": _TEXT,
            "limits": _shape(_limits),
            "lease": _lease,
            "control": _ref("Control"),
        }
    ),
    "Heartbeat": _shape({}, producer=_null(_TEXT), numbered=_null(_WHOLE)),
    "HeartbeatAnswer": _shape({"control": _ref("Control"), "lease": _lease}),
    "Asset": _FREE,
    "AssetPage": _page(_ref("Asset")),
    "Materialization": _shape(
        {
            **_event_members,
            "invocation_id": _TEXT,
            "asset_key": _TEXT,
            "partition_key": _null(_TEXT),
            "data_version": _null(_TEXT),
            "metadata": _FREE,
        }
    ),
    "MaterializationPage": _page(_ref("Materialization")),
    "CheckPage": _page(_FREE),
    "Point": _point,
    "LabelPage": _shape(
        {
            "items": _list(_shape({"label": _TEXT, "last": _ref("Point")})),
            "next_cursor": _null(_TEXT),
            "left_out": _WHOLE,
        }
    ),
    "Series": _shape({"asset_key": _TEXT, "label": _TEXT, "points": _list(_ref("Point")), "binned": _FLAG}),
    "SchemaChangePage": _page(
        _shape(
            {
                "invocation_id": _TEXT,
                "position": _WHOLE,
                "received_at": _TIME,
                "label": _TEXT,
                "added": _list(_FREE),
                "removed": _list(_FREE),
                "changed": _list(_shape({"name": _TEXT, "before": _FREE, "after": _FREE})),
                "previous": _FREE,
            }
        )
    ),
    "ErrorPage": _page(
        _shape(
            {
                "invocation_id": _TEXT,
                "job_name": _null(_TEXT),
                "partition_key": _null(_TEXT),
                "kind": {"type": "string", "enum": ["exception", "rejected", "log"]},
                "position": _WHOLE,
                "received_at": _TIME,
                "summary": _TEXT,
            }
        )
    ),
    "LoginLink": _shape({"url": _TEXT, "expires_in_seconds": _WHOLE}),
    "LimitsAnswer": _shape({**_limits, "protocol": _TEXT, "server_version": _TEXT}),
}
