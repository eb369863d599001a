// The shapes of the API that the pages read; docs/protocol.md says what they mean.
export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export type Verdict = "succeeded" | "failed" | "cancelled" | "lost" | "incomplete";
export type Status = "registered" | "running" | "ended";

export interface Exception {
  name?: string;
  message?: string;
  stack?: string[] | null;
  cause?: Exception | null;
  context?: Exception | null;
}

export interface Reason {
  code: string;
  detail: string;
  producer?: string;
  exception?: Exception;
  exit_code?: number;
  end?: string;
  asset_key?: string;
  check_name?: string;
  cause?: Cause;
  /** What this reason explains. */
  details?: Reason[];
}

/** Which run of the work: whole numbers, compared in order; none is the first. */
export type AttemptNumber = number[];

export interface Cause {
  code: string;
  detail: string;
  signal?: string | number;
  exit_code?: number;
  peak_memory_bytes?: number;
  node?: string;
  attempt?: AttemptNumber;
}

/** How work ended, in the words of its launcher or of a supervisor. */
export interface End {
  outcome?: string | null;
  exit_code?: number | null;
  cause?: Cause | null;
  reason?: string | null;
  launched?: boolean | null;
}

export type LaunchState = "submitted" | "queued" | "starting" | "running";

/** What the launcher said last of where the work is. */
export interface Platform {
  state: LaunchState;
  platform?: string;
  job_id?: string;
  node?: string;
  image?: string;
  url?: string;
  attempt?: AttemptNumber;
  at: string;
  submitted_at?: string;
  queued_at?: string;
  starting_at?: string;
  running_at?: string;
}

export interface Attempt {
  attempt: AttemptNumber;
  names: string[];
  producers: number;
  superseded: boolean;
}

export interface Producer {
  producer: string;
  process: { rank?: number | string; host?: string; pid?: number } | null;
  role?: string | null;
  parent?: string | null;
  attempt?: AttemptNumber | null;
  attempt_name?: string | null;
  superseded?: boolean;
  end?: End | null;
  opened: boolean;
  closed: boolean;
  stored: number;
  numbered: number | null;
  rejected: number;
  last_word_at: string | null;
}

export interface ProducerReceipt extends Producer {
  sent: number;
  dropped_logs: number;
  ledger: string;
  sha256: string | null;
}

export interface Progress {
  complete: boolean;
  asset_keys: { reported: string[]; missing: string[] };
  checks: Record<"reported" | "missing", { asset_key: string; check_name: string }[]>;
  custom_messages: { reported: number; expected: number };
}

export interface Receipt {
  whole: boolean;
  summary: string;
  dropped_logs: number;
  events: number;
  rejected: number;
  by_method: Record<string, number>;
  producers: ProducerReceipt[];
}

export interface Context {
  asset_keys?: string[] | null;
  partition_key?: string | null;
  partition_key_range?: { start: string; end: string } | null;
  partition_time_window?: { start: string; end: string } | null;
  run_id?: string | null;
  job_name?: string | null;
  retry_number?: number | null;
  code_version_by_asset_key?: Record<string, string | null> | null;
  provenance_by_asset_key?: Record<string, Json> | null;
  extras?: JsonObject | null;
  extras_omitted?: boolean;
}

export interface Expected {
  asset_keys?: string[];
  checks?: { asset_key: string; check_name: string }[];
  custom_messages?: number;
}

export interface Invocation {
  id: string;
  status: Status;
  verdict: Verdict | null;
  reasons: Reason[];
  revision: number;
  context: Context;
  tags: Record<string, string>;
  expected: Expected | null;
  launcher: Json;
  retry_of: string | null;
  pipes: "required" | "optional";
  exit_code: number | null;
  outcome: string | null;
  cause: Cause | null;
  judged_by: string | null;
  notes: Reason[];
  platform: Platform | null;
  attempt: AttemptNumber | null;
  attempts?: Attempt[];
  created_at: string;
  opened_at: string | null;
  ended_at: string | null;
  lease_expires_at: string | null;
  last_position: number;
  cancel_requested: boolean;
  receipt: Receipt | null;
  producers?: Producer[];
  expected_progress?: Progress | null;
  /** The worst of status, verdict and checks. */
  badge: BadgeName;
  failed_checks: { error: number; warn: number };
  duration_seconds: number | null;
  heard_at: string | null;
  pinned: boolean;
  usual_seconds?: number | null;
  matched?: { in: string; text: string }[];
}

export type BadgeName = "registered" | "running" | "cancelling" | "succeeded" | "warned" | "check-failed" | "failed" | "cancelled" | "lost" | "incomplete";

export interface Counts {
  bin: "day" | "hour" | "minute";
  since: string;
  until: string;
  bins: { start: string; counts: Record<string, number> }[];
  total: Record<string, number>;
}

export interface CheckState {
  passed: number;
  failed: number;
  warned: number;
}

export interface Asset {
  asset_key: string;
  last_materialization: Reported | null;
  last_check: Reported | null;
  check_state: CheckState;
  checks?: Reported[];
  numeric_labels?: string[];
}

export interface SeriesPoint {
  at: string;
  /** Not finite: its name. Null: an int or float without a value. */
  value: number | bigint | "NaN" | "Infinity" | "-Infinity" | null;
  invocation_id: string;
  position: number;
  partition_key: string | null;
  min?: SeriesPoint["value"];
  max?: SeriesPoint["value"];
  count?: number;
}

export interface SchemaChange {
  invocation_id: string;
  position: number;
  received_at: string;
  label: string;
  added: Json[];
  removed: Json[];
  changed: { name: string; before: Json; after: Json }[];
  previous: { invocation_id: string; position: number };
}

export interface DifferentLeaf {
  path: string;
  values: Json[];
  masked: boolean;
  absent?: boolean[];
}

export interface Comparison {
  items: { id: string; badge: BadgeName; judged_by: string | null; exit_code: number | null; verdict: Verdict | null; job_name: string | null; partition_key: string | null; created_at: string; duration_seconds: number | null; events: number }[];
  context: { name: string; values: Json[]; absent?: boolean[] }[];
  outcome: DifferentLeaf[];
  extras: DifferentLeaf[];
  tags: DifferentLeaf[];
  expected: DifferentLeaf[];
  launcher: DifferentLeaf[];
  materializations: { asset_key: string; values: ({ data_version: string | null } | null)[] }[];
  metadata: { asset_key: string; label: string; values: (Entry | null)[]; parts: DifferentLeaf[] }[];
  check_metadata: { asset_key: string; check_name: string; label: string; values: (Entry | null)[]; parts: DifferentLeaf[] }[];
  custom_messages: DifferentLeaf[];
  counts: DifferentLeaf[];
  checks: { asset_key: string; check_name: string; values: ({ passed: boolean; severity: string } | null)[] }[];
  logs: { template: string; level: string; counts: number[]; positions: (number | null)[] }[];
  logs_complete: boolean[];
  values_complete: boolean[];
}

/** A change of the invocation itself, from its history. */
export interface Change {
  at: string;
  change: string;
  detail?: JsonObject;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  [member: string]: unknown;
}

export interface Event {
  position: number;
  producer: string;
  seq: number;
  sent_at: string | null;
  received_at: string;
  method: string | null;
  params: JsonObject | null;
  problem?: Problem;
  notes?: Note[];
  details?: JsonObject;
  raw?: Json;
}

/** A remark on an accepted message. */
export interface Note {
  code: string;
  detail: string;
  /** Of the report whose place this one takes. */
  position?: number;
}

export interface Entry {
  type: string;
  raw_value: Json;
  problem?: string;
}

export interface Reported {
  position: number;
  invocation_id: string;
  asset_key: string;
  received_at: string;
  partition_key: string | null;
  data_version?: string | null;
  metadata: Record<string, Entry>;
  check_name?: string;
  passed?: boolean;
  severity?: string;
  [more: string]: unknown;
}

export interface Page<T> {
  items: T[];
  /** How far back a search has looked that had to stop somewhere. */
  searched_to?: string | null;
  next_cursor: string | null;
}

export interface EventPage {
  items: Event[];
  next_after: number;
  next_before?: number | null;
  last_position: number;
  ended: boolean;
}
