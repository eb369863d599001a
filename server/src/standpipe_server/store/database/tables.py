"""The tables. What they are made of is said here once; `migrations/` brings a database to this shape, and a test
compares the two.

Instants are microseconds since the epoch. An appended batch is one row (`segment`); what must be found across
invocations stands in thin projection rows beside it, written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from standpipe_server.store.database.carried_text import CarriedText

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column that is INTEGER to the letter.
Key = BigInteger().with_variant(Integer(), "sqlite")


def _invocation_pk(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "invocation_pk",
        BigInteger,
        ForeignKey("invocation.pk", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


def _only_where(condition: str) -> dict[str, Any]:
    """Of a partial index: which rows stand in it, on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _of_an_asset() -> list[Column[int] | Column[str]]:
    """What every row has that an event about an asset makes."""
    return [
        Column("pk", Key, primary_key=True),
        _invocation_pk(),
        Column("position", BigInteger, nullable=False),
        Column("asset_pk", BigInteger, ForeignKey("asset.pk"), nullable=False),
        Column("partition_key", CarriedText),
        Column("received_at", BigInteger, nullable=False),
    ]


invocation = Table(
    "invocation",
    metadata,
    Column("pk", Key, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("idempotency_key", CarriedText, unique=True),
    Column("request_digest", LargeBinary, nullable=False),
    Column("status", String(12), nullable=False),
    Column("verdict", String(12)),
    Column("reasons", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("asset_keys", Text, nullable=False),
    Column("expected", Text),
    Column("tags", Text, nullable=False),
    Column("launcher", Text),
    Column("retry_of", String(40)),
    Column("job_name", CarriedText),
    Column("run_id", CarriedText),
    Column("partition_key", CarriedText),
    # Of one job on the same assets; None where neither was named. What came before is found by it.
    Column("family", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("opened_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("last_event_at", BigInteger),
    Column("open_within", Float, nullable=False),
    Column("settle", Float, nullable=False),
    Column("lease_seconds", Float, nullable=False),
    Column("lease_expires_at", BigInteger),
    Column("lease_lost", Boolean, nullable=False),
    Column("cancel_requested_at", BigInteger),
    Column("finish", Text),
    Column("producers_opened", Integer, nullable=False),
    Column("producers_open", Integer, nullable=False),
    Column("receipt", Text),
    # When the sweeper has to look at it: to end it, or, once it has ended, to merge its small segments.
    Column("due_at", BigInteger),
    Column("pinned_at", BigInteger),
    Column("pipes_optional", Boolean, nullable=False, server_default=false()),
    # What the launcher said on the way, and the numbers of attempts, as JSON; NULL until there are any.
    Column("platform", Text),
    Column("attempts", Text),
    Column("judged_by", String(12)),
    Column("notes", Text),
    # Lists are in the order of registration, so that a filter and a range of time are one walk along one index.
    Index(None, "status", "created_at", "pk"),
    Index(None, "verdict", "created_at", "pk"),
    Index(None, "job_name", "created_at", "pk"),
    Index(None, "run_id", "created_at", "pk"),
    Index(None, "partition_key", "created_at", "pk"),
    # What the counts by day need stands in it.
    Index("ix_invocation_created", "created_at", "pk", "status", "verdict"),
    Index(None, "retry_of"),
    Index("ix_invocation_good", "family", "created_at", "pk", **_only_where("verdict = 'succeeded'")),
    Index(
        "ix_invocation_good_partition",
        "family",
        "partition_key",
        "created_at",
        "pk",
        **_only_where("verdict = 'succeeded'"),
    ),
    Index("ix_invocation_pinned", "created_at", "pk", **_only_where("pinned_at IS NOT NULL")),
    Index("ix_invocation_due", "due_at", **_only_where("due_at IS NOT NULL")),
    # A row's key is never given out again: what is remembered of it must not pass on to another invocation.
    sqlite_autoincrement=True,
)

# Apart, because it may be megabytes: SQLite writes the whole row of an invocation anew with each append.
invocation_context = Table(
    "invocation_context",
    metadata,
    _invocation_pk(primary_key=True),
    Column("context", LargeBinary, nullable=False),
)

# What a search across invocations looks through, in lower case: `names` (id, job, tags and their like), `reasons`, and
# the first errors. Narrow, and in the order of the lists, so that much of it is read at once.
invocation_text = Table(
    "invocation_text",
    metadata,
    Column("created_at", BigInteger, primary_key=True),
    _invocation_pk(primary_key=True),
    Column("kind", String(12), primary_key=True),
    Column("text", CarriedText, nullable=False),
    Index(None, "invocation_pk"),
    sqlite_with_rowid=False,
)

invocation_token = Table(
    "invocation_token",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _invocation_pk(),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "invocation_pk"),
)

invocation_tag = Table(
    "invocation_tag",
    metadata,
    _invocation_pk(primary_key=True),
    Column("name", CarriedText, primary_key=True),
    Column("value", CarriedText, nullable=False),
    Index(None, "name", "value", "invocation_pk"),
)

asset = Table(
    "asset",
    metadata,
    Column("pk", Key, primary_key=True),
    Column("asset_key", CarriedText, nullable=False, unique=True),
    # Through which rows of reports the numbers in their metadata were taken out.
    Column("numbered_materialization", BigInteger, nullable=False, server_default=text("0")),
    Column("numbered_asset_check", BigInteger, nullable=False, server_default=text("0")),
)

# Which assets an invocation targets; what it reported on stands in the tables of reports.
invocation_asset = Table(
    "invocation_asset",
    metadata,
    _invocation_pk(primary_key=True),
    Column("asset_pk", BigInteger, ForeignKey("asset.pk"), primary_key=True),
    Index(None, "asset_pk", "invocation_pk"),
)

producer = Table(
    "producer",
    metadata,
    Column("pk", Key, primary_key=True),
    _invocation_pk(),
    Column("name", String(128), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("numbered", BigInteger, nullable=False),
    Column("opened", Integer, nullable=False),
    Column("closed", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("counts", Text, nullable=False),
    Column("rejected_counts", Text, nullable=False),
    Column("ledger", Text),
    Column("exception", Text),
    Column("first_rejection", CarriedText),
    Column("heard_at", BigInteger),
    # The ledger as it was told, and what the process said of itself when it opened.
    Column("told", Text),
    Column("process", Text),
    # Its number of the whole job, as JSON; whether a newer attempt has begun; where it comes from and how it ended.
    Column("attempt", Text),
    Column("superseded", Boolean, nullable=False, server_default=false()),
    Column("lineage", Text),
    UniqueConstraint("invocation_pk", "name"),
)

# One appended batch, or several small ones merged after the end (`runs` then says who sent which part when).
segment = Table(
    "segment",
    metadata,
    Column("pk", Key, primary_key=True),
    _invocation_pk(),
    Column("first_position", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("producer_pk", BigInteger, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    # Bit i is set when a message of method number i is in it, so that a filter by method skips what has none.
    Column("methods", SmallInteger, nullable=False),
    Column("encoding", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("problems", Text),
    Column("notes", Text),
    Column("runs", Text),
    Index("uq_segment_position", "invocation_pk", "first_position", unique=True),
    Index("ix_segment_problems", "invocation_pk", **_only_where("problems IS NOT NULL")),
)

append_key = Table(
    "append_key",
    metadata,
    _invocation_pk(primary_key=True),
    Column("key", CarriedText, primary_key=True),
    Column("body_digest", LargeBinary, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
)

materialization = Table(
    "materialization",
    metadata,
    *_of_an_asset(),
    Column("data_version", CarriedText),
    UniqueConstraint("invocation_pk", "asset_pk"),
    Index(None, "asset_pk", "pk"),
    # Nothing to keep for what has no partition.
    Index(
        "ix_materialization_partition", "asset_pk", "partition_key", "pk", **_only_where("partition_key IS NOT NULL")
    ),
)

observation = Table(
    "observation",
    metadata,
    *_of_an_asset(),
    Column("data_version", CarriedText),
    Index(None, "asset_pk", "pk"),
    Index(None, "invocation_pk"),
)

asset_check = Table(
    "asset_check",
    metadata,
    *_of_an_asset(),
    Column("check_name", CarriedText, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("severity", String(5), nullable=False),
    Index(None, "asset_pk", "pk"),
    Index(None, "asset_pk", "check_name", "pk"),
    Index(None, "invocation_pk"),
    Index(
        "ix_asset_check_failed",
        "invocation_pk",
        "severity",
        sqlite_where=text("passed = 0"),
        postgresql_where=text("NOT passed"),
    ),
)

# The numbers in the metadata of materializations (`check_name` is empty then) and of checks, for plots over time.
metadata_number = Table(
    "metadata_number",
    metadata,
    *_of_an_asset(),
    Column("check_name", CarriedText, nullable=False),
    Column("label", CarriedText, nullable=False),
    # None where it is not finite, and where none was given.
    Column("value", Float),
    Column("not_finite", String(9)),
    Index("ix_metadata_number_series", "asset_pk", "check_name", "label", "received_at", "pk"),
    Index(None, "invocation_pk", "position"),
)

# The first exception, the first rejected message and the first error log of an invocation.
first_error = Table(
    "first_error",
    metadata,
    _invocation_pk(primary_key=True),
    Column("kind", String(12), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("summary", CarriedText, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Index(None, "received_at"),
)

# State changes, beside the events and without positions.
history = Table(
    "history",
    metadata,
    Column("pk", Key, primary_key=True),
    _invocation_pk(),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "invocation_pk", "pk"),
)

# Requests with messages that were refused as a whole, of one invocation: how many, how many still count, and by what
# those are known again that have been counted.
refusals = Table(
    "refusals",
    metadata,
    _invocation_pk(primary_key=True),
    Column("count", Integer, nullable=False),
    Column("standing", Integer, nullable=False),
    Column("entries", Text, nullable=False),
)

# On PostgreSQL each writer of each server raises the number in its own row with every commit: a database that does not
# have the last acknowledged one is another database, or an older copy.
server_writer = Table(
    "server_writer",
    metadata,
    Column("server_id", String(40), primary_key=True),
    Column("writer", SmallInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

# Deleting an invocation deletes from these, in this order.
OWNED_BY_INVOCATION: Sequence[Table] = (
    refusals,
    history,
    first_error,
    metadata_number,
    asset_check,
    observation,
    materialization,
    append_key,
    segment,
    producer,
    invocation_asset,
    invocation_tag,
    invocation_token,
    invocation_text,
    invocation_context,
)
