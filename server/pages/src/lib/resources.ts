// Made by scripts/generate from the server's resources; do not edit.
import type {Json} from "./types";

export interface AppendAnswer {
  accepted_through: number;
  last_position: number;
  results: Rejection[];
  control: Control;
}
export interface Rejection {
  index: number;
  seq: number;
  position: number;
  problem: Problem;
}
/**
 * RFC 9457 problem details. The list of types grows; an unknown one means what its status says.
 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  /**
   * JSON Pointer (RFC 6901) to what is wrong.
   */
  pointer?: string;
  /**
   * What should have been there.
   */
  expected?: string;
  line?: number;
  offset?: number;
  header?: string;
  allowed?: string[];
  expected_seq?: number;
  verdict?: "cancelled" | "failed" | "incomplete" | "lost" | "succeeded";
  asset_key?: string;
  invocation?: string;
  limit?: number;
  limit_name?: string;
  retry_after?: number;
  request_id?: string;
  control?: Control;
  /**
   * Of a bare message: it is stored as rejected.
   */
  stored?: boolean;
  position?: number;
  seq?: number;
  accepted_through?: number;
  last_position?: number;
}
/**
 * What every answer to the external process carries.
 */
export interface Control {
  cancel_requested: boolean;
  /**
   * A newer attempt has begun.
   */
  superseded?: boolean;
}
export interface Asset {
  asset_key: string;
  last_materialization: Materialization | null;
  last_observation: Observation | null;
  last_check: CheckResult | null;
  check_state: CheckState;
  checks?: CheckResult[];
  numeric_labels?: string[];
}
/**
 * The event of a materialization, and what is known of it beside.
 */
export interface Materialization {
  position: number;
  producer: string;
  seq: number;
  /**
   * A time as the sender wrote it, or null.
   */
  sent_at: Json;
  received_at: string;
  /**
   * A name; of a rejected message what stood in its place, or null.
   */
  method: Json;
  params: Json;
  details?: Json;
  ledger?: Json;
  /**
   * An element that was no object.
   */
  raw?: Json;
  problem?: Problem;
  notes?: Note[];
  invocation_id: string;
  asset_key: string;
  partition_key: string | null;
  data_version: string | null;
  metadata: {
    [k: string]: MetadataEntry;
  };
}
/**
 * What is known besides and makes nothing red.
 */
export interface Note {
  code: string;
  detail: string;
  producer?: string;
  /**
   * Of the report whose place this one takes.
   */
  position?: number;
}
/**
 * One metadata entry in normal form; docs/reference/metadata-types.md has the shape of each type's value.
 */
export interface MetadataEntry {
  type:
    | "asset"
    | "bool"
    | "dagster_run"
    | "float"
    | "int"
    | "json"
    | "md"
    | "notebook"
    | "null"
    | "path"
    | "table"
    | "table_column_lineage"
    | "table_schema"
    | "text"
    | "timestamp"
    | "url";
  raw_value: Json;
  /**
   * Why it was kept as JSON instead of what it said it was.
   */
  problem?: string;
}
/**
 * The event of an observation, and what is known of it beside; `partition_key` is the one that it names, if it
 *     names one.
 */
export interface Observation {
  position: number;
  producer: string;
  seq: number;
  /**
   * A time as the sender wrote it, or null.
   */
  sent_at: Json;
  received_at: string;
  /**
   * A name; of a rejected message what stood in its place, or null.
   */
  method: Json;
  params: Json;
  details?: Json;
  ledger?: Json;
  /**
   * An element that was no object.
   */
  raw?: Json;
  problem?: Problem;
  notes?: Note[];
  invocation_id: string;
  asset_key: string;
  partition_key: string | null;
  data_version: string | null;
  metadata: {
    [k: string]: MetadataEntry;
  };
}
/**
 * The event of a check, and what is known of it beside.
 */
export interface CheckResult {
  position: number;
  producer: string;
  seq: number;
  /**
   * A time as the sender wrote it, or null.
   */
  sent_at: Json;
  received_at: string;
  /**
   * A name; of a rejected message what stood in its place, or null.
   */
  method: Json;
  params: Json;
  details?: Json;
  ledger?: Json;
  /**
   * An element that was no object.
   */
  raw?: Json;
  problem?: Problem;
  notes?: Note[];
  invocation_id: string;
  asset_key: string;
  partition_key: string | null;
  check_name: string;
  passed: boolean;
  severity: "ERROR" | "WARN";
  metadata: {
    [k: string]: MetadataEntry;
  };
}
/**
 * The last reports of an asset's checks, counted.
 */
export interface CheckState {
  passed: number;
  failed: number;
  warned: number;
}
export interface AssetPage {
  items: Asset[];
  next_cursor: string | null;
}
export interface AttemptNumber {
  attempt: number | number[];
  name?: string | null;
}
export interface Bin {
  start: string;
  counts: {
    [k: string]: number;
  };
}
/**
 * Why work ended, in the words of its platform.
 */
export interface Cause {
  code: string;
  detail: string;
  signal?: string | number;
  exit_code?: number;
  peak_memory_bytes?: number;
  node?: string;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  attempt?: number[];
}
/**
 * A change of the invocation itself.
 */
export interface Change {
  at: string;
  change: string;
  detail: ChangeDetail;
  /**
   * What happened, in words.
   */
  description: string;
  more: ChangeDetail1;
}
/**
 * What more is known of a change: which members there are depends on what changed.
 */
export interface ChangeDetail {
  reason?: string | null;
  retry_of?: string;
  producer?: string;
  producers?: string[];
  count?: number;
  lease_seconds?: number;
  verdict?: "cancelled" | "failed" | "incomplete" | "lost" | "succeeded";
  /**
   * Codes.
   */
  reasons?: string[];
  revision?: number;
  exit_code?: number | null;
  launched?: boolean | null;
  outcome?: "cancelled" | "failed" | "not-launched" | "succeeded" | "unknown";
  cause?: Cause;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  about?: number[];
  older_attempt?: boolean;
  state?: "queued" | "running" | "starting" | "submitted";
  platform?: string;
  job_id?: string;
  node?: string;
  image?: string;
  url?: string;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  attempt?: number[];
  /**
   * Of an attempt, as a text.
   */
  number?: string;
  name?: string;
  /**
   * The name of a refused request's problem.
   */
  problem?: string;
  status?: number;
  detail?: string;
  length?: number;
  start?: string;
  /**
   * Refused requests that are not listed.
   */
  more?: number;
  /**
   * Refused requests that are not stored.
   */
  standing?: number;
}
/**
 * What more is known of a change: which members there are depends on what changed.
 */
export interface ChangeDetail1 {
  reason?: string | null;
  retry_of?: string;
  producer?: string;
  producers?: string[];
  count?: number;
  lease_seconds?: number;
  verdict?: "cancelled" | "failed" | "incomplete" | "lost" | "succeeded";
  /**
   * Codes.
   */
  reasons?: string[];
  revision?: number;
  exit_code?: number | null;
  launched?: boolean | null;
  outcome?: "cancelled" | "failed" | "not-launched" | "succeeded" | "unknown";
  cause?: Cause;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  about?: number[];
  older_attempt?: boolean;
  state?: "queued" | "running" | "starting" | "submitted";
  platform?: string;
  job_id?: string;
  node?: string;
  image?: string;
  url?: string;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  attempt?: number[];
  /**
   * Of an attempt, as a text.
   */
  number?: string;
  name?: string;
  /**
   * The name of a refused request's problem.
   */
  problem?: string;
  status?: number;
  detail?: string;
  length?: number;
  start?: string;
  /**
   * Refused requests that are not listed.
   */
  more?: number;
  /**
   * Refused requests that are not stored.
   */
  standing?: number;
}
export interface ChangedColumn {
  name: string;
  before: Column;
  after: Column;
}
export interface Column {
  name: string;
  type: string;
  description: string | null;
  tags: {
    [k: string]: string;
  };
  constraints: ColumnConstraints;
}
export interface ColumnConstraints {
  nullable: boolean;
  unique: boolean;
  other: string[];
}
export interface CheckOutcome {
  passed: boolean;
  severity: "ERROR" | "WARN";
}
export interface CheckPage {
  items: CheckResult[];
  next_cursor: string | null;
}
/**
 * The value of `table_column_lineage`: upstream columns by column.
 */
export interface ColumnLineage {
  deps_by_column: {
    [k: string]: UpstreamColumn[];
  };
}
export interface UpstreamColumn {
  asset_key: string[];
  column_name: string;
}
export interface ComparedInvocation {
  id: string;
  status: "ended" | "registered" | "running";
  verdict: ("cancelled" | "failed" | "incomplete" | "lost" | "succeeded") | null;
  job_name: string | null;
  partition_key: string | null;
  run_id: string | null;
  badge: "cancelled" | "cancelling" | "check-failed" | "failed" | "incomplete" | "lost" | "registered" | "running" | "succeeded" | "warned";
  judged_by: "launcher" | null;
  judge: string | null;
  exit_code: number | null;
  created_at: string;
  duration_seconds: number | null;
  events: number;
}
/**
 * What is not the same in several invocations; values are in the order of `items`.
 */
export interface Comparison {
  items: ComparedInvocation[];
  outcome: DifferentLeaf[];
  context: DifferentField[];
  extras: DifferentLeaf[];
  tags: DifferentLeaf[];
  expected: DifferentLeaf[];
  launcher: DifferentLeaf[];
  materializations: DifferentMaterialization[];
  metadata: DifferentMetadata[];
  checks: DifferentCheck[];
  check_metadata: DifferentCheckMetadata[];
  custom_messages: DifferentLeaf[];
  counts: DifferentLeaf[];
  logs: DifferentLines[];
  logs_complete: boolean[];
  values_complete: boolean[];
}
/**
 * A place in JSON at which not all are the same.
 */
export interface DifferentLeaf {
  path: string;
  values: Json[];
  absent: boolean[];
  masked: boolean;
}
export interface DifferentField {
  name: string;
  values: Json[];
}
export interface DifferentMaterialization {
  asset_key: string;
  values: (DataVersion | null)[];
}
export interface DataVersion {
  data_version: string | null;
}
export interface DifferentMetadata {
  asset_key: string;
  label: string;
  values: (MetadataEntry | null)[];
  parts: DifferentLeaf[];
}
export interface DifferentCheck {
  asset_key: string;
  check_name: string;
  values: (CheckOutcome | null)[];
}
export interface DifferentCheckMetadata {
  asset_key: string;
  label: string;
  values: (MetadataEntry | null)[];
  parts: DifferentLeaf[];
  check_name: string;
}
/**
 * A kind of log line that not all have.
 */
export interface DifferentLines {
  template: string;
  level: string;
  counts: number[];
  positions: (number | null)[];
}
/**
 * What the external process is told. `extras` are carried byte for byte.
 */
export interface Context {
  asset_keys: string[] | null;
  code_version_by_asset_key: {
    [k: string]: string | null;
  } | null;
  provenance_by_asset_key: {
    [k: string]: Json;
  } | null;
  partition_key: string | null;
  partition_key_range: KeyRange | null;
  partition_time_window: TimeWindow | null;
  run_id: string | null;
  retry_number: number;
  job_name: string | null;
  extras: Json;
  /**
   * In lists: the extras are left out because they are large.
   */
  extras_omitted?: boolean;
}
/**
 * First and last key of a partition range, both included.
 */
export interface KeyRange {
  start: string;
  end: string;
}
/**
 * Start (included) and end (excluded) of a partition's time window, ISO 8601 with offset.
 */
export interface TimeWindow {
  start: string;
  end: string;
}
/**
 * What an external process is told.
 */
export interface ContextAnswer {
  context: Context;
  protocol: string;
  limits: Limits;
  lease: Lease;
  control: Control;
}
export interface Limits {
  body_bytes: number;
  decompressed_bytes: number;
  message_bytes: number;
  batch_messages: number;
  control_bytes: number;
  finish_bytes: number;
  registration_bytes: number;
  context_bytes: number;
  json_depth: number;
  integer_digits: number;
  name_characters: number;
  requests_per_second: number;
}
export interface Lease {
  seconds: number;
  expires_at: string | null;
}
/**
 * A page that was read backwards.
 */
export interface EarlierEventPage {
  items: Event[];
  next_before: number | null;
  ended: boolean;
  last_position: number;
  control?: Control;
}
/**
 * A stored message.
 */
export interface Event {
  position: number;
  producer: string;
  seq: number;
  /**
   * A time as the sender wrote it, or null.
   */
  sent_at: Json;
  received_at: string;
  /**
   * A name; of a rejected message what stood in its place, or null.
   */
  method: Json;
  params: Json;
  details?: Json;
  ledger?: Json;
  /**
   * An element that was no object.
   */
  raw?: Json;
  problem?: Problem;
  notes?: Note[];
  /**
   * Of a report, where the normal form was asked for.
   */
  metadata?: {
    [k: string]: MetadataEntry;
  };
  /**
   * Of a process's end, in words, where the normal form was asked for.
   */
  description?: string;
}
/**
 * How a process ended, as its supervisor reported it.
 */
export interface End {
  exit_code: number | null;
  reason: string | null;
  launched: boolean | null;
  outcome?: "cancelled" | "failed" | "not-launched" | "succeeded" | "unknown";
  cause?: Cause;
  /**
   * The attempt that all of it is about.
   */
  about?: number[];
}
/**
 * What was said of the end of the work.
 */
export interface EndDescription {
  /**
   * The supervisor that said it; null for the launcher.
   */
  producer: string | null;
  /**
   * `failed, exit code 137, out-of-memory`.
   */
  description: string;
  /**
   * What no reason holds: the platform's sentence, the end of the output.
   */
  detail: string;
}
export interface ErrorPage {
  items: FirstError[];
  next_cursor: string | null;
}
/**
 * The first error of a kind in an invocation.
 */
export interface FirstError {
  invocation_id: string;
  job_name: string | null;
  partition_key: string | null;
  kind: "exception" | "log" | "rejected";
  position: number;
  received_at: string;
  summary: string;
}
export interface EventPage {
  items: Event[];
  next_after: number;
  ended: boolean;
  last_position: number;
  control?: Control;
}
/**
 * What must have been reported for an invocation to be `succeeded`; each part optional.
 */
export interface Expected {
  asset_keys?: string[];
  checks?: ExpectedCheck[];
  custom_messages?: number | null;
}
export interface ExpectedCheck {
  asset_key: string;
  check_name: string;
}
/**
 * What of `expected` has come and what is missing.
 */
export interface ExpectedProgress {
  complete: boolean;
  asset_keys: ReportedKeys;
  checks: ReportedChecks;
  custom_messages: ReportedMessages;
}
export interface ReportedKeys {
  reported: string[];
  missing: string[];
}
export interface ReportedChecks {
  reported: ExpectedCheck[];
  missing: ExpectedCheck[];
}
export interface ReportedMessages {
  reported: number;
  expected: number;
}
/**
 * Reported checks that did not pass, by severity.
 */
export interface FailedChecks {
  error: number;
  warn: number;
}
export interface Finish {
  exit_code?: number | null;
  reason?: string | null;
  launched?: boolean | null;
  outcome?: ("cancelled" | "failed" | "not-launched" | "succeeded" | "unknown") | null;
  cause?: Cause | null;
}
/**
 * What the external process is to be told; what is missing is null.
 */
export interface GivenContext {
  asset_keys?: string[] | null;
  code_version_by_asset_key?: {
    [k: string]: string | null;
  } | null;
  provenance_by_asset_key?: {
    [k: string]: Json;
  } | null;
  partition_key?: string | null;
  partition_key_range?: KeyRange | null;
  partition_time_window?: TimeWindow | null;
  run_id?: string | null;
  job_name?: string | null;
  retry_number?: number | null;
  extras?: Json;
}
export interface Health {
  status: "not ready" | "ok";
}
export interface Heartbeat {
  producer?: string | null;
  numbered?: number | null;
}
export interface HeartbeatAnswer {
  control: Control;
  lease: Lease;
}
export interface History {
  items: Change[];
  next_cursor: null;
}
/**
 * One launch of external work.
 */
export interface Invocation {
  id: string;
  status: "ended" | "registered" | "running";
  verdict: ("cancelled" | "failed" | "incomplete" | "lost" | "succeeded") | null;
  reasons: Reason[];
  tags: {
    [k: string]: string;
  };
  expected: Expected | null;
  launcher: Json;
  receipt: Receipt | null;
  platform: Platform | null;
  context: Context;
  revision: number;
  retry_of: string | null;
  created_at: string;
  opened_at: string | null;
  ended_at: string | null;
  lease_expires_at: string | null;
  last_position: number;
  cancel_requested: boolean;
  pipes: "optional" | "required";
  exit_code: number | null;
  outcome: ("cancelled" | "failed" | "not-launched" | "succeeded" | "unknown") | null;
  cause: Cause | null;
  judged_by: "launcher" | null;
  notes: Note[];
  attempt: number[] | null;
  producers?: Producer[];
  expected_progress?: ExpectedProgress | null;
  attempts?: NumberedAttempt[];
  /**
   * How it stands, in a sentence or two.
   */
  description?: string;
  ends?: EndDescription[];
  badge: "cancelled" | "cancelling" | "check-failed" | "failed" | "incomplete" | "lost" | "registered" | "running" | "succeeded" | "warned";
  /**
   * What the launcher says of work of which no process, or none of the newest attempt, opened.
   */
  waiting: ("queued" | "running" | "starting" | "submitted") | null;
  stages: Stage[];
  /**
   * `by exit code` or `by launcher`, where no process reported.
   */
  judge: string | null;
  failed_checks: FailedChecks;
  duration_seconds: number | null;
  heard_at: string | null;
  pinned: boolean;
  usual_seconds?: number | null;
  matched?: Match[];
}
/**
 * Why a verdict is what it is: a code for programs, a sentence for people.
 */
export interface Reason {
  code: string;
  detail: string;
  producer?: string;
  exception?: ReportedException | null;
  exit_code?: number;
  end?: string | null;
  cause?: Cause;
  /**
   * What this reason explains.
   */
  details?: Reason[];
  asset_key?: string;
  check_name?: string;
  count?: number;
}
/**
 * An exception with what it was raised from.
 */
export interface ReportedException {
  message: string;
  stack: string[];
  name: string | null;
  cause: ReportedException | null;
  context: ReportedException | null;
}
/**
 * What was sent against what is stored, once an invocation has ended.
 */
export interface Receipt {
  events: number;
  rejected: number;
  by_method: {
    [k: string]: number;
  };
  sent: number;
  stored: number;
  dropped_logs: number;
  whole: boolean;
  summary: string;
  producers: ProducerReceipt[];
}
/**
 * What a producer sent against what is stored of it.
 */
export interface ProducerReceipt {
  producer: string;
  process: Process | null;
  opened: boolean;
  closed: boolean;
  stored: number;
  numbered: number;
  rejected: number;
  last_word_at: string | null;
  role: "supervisor" | null;
  parent: string | null;
  attempt: number[] | null;
  attempt_name: string | null;
  superseded: boolean;
  end: End | null;
  sent: number;
  dropped_logs: number;
  /**
   * `agrees`, `none`, or a sentence.
   */
  ledger: string;
  sha256: string | null;
}
/**
 * Which process a producer is, as it said when it opened.
 */
export interface Process {
  rank?: number | string;
  world_size?: number | string;
  host?: number | string;
  pid?: number | string;
}
/**
 * What the launcher said last of where the work is.
 */
export interface Platform {
  state: "queued" | "running" | "starting" | "submitted";
  at: string;
  platform?: string;
  job_id?: string;
  node?: string;
  image?: string;
  url?: string;
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  attempt?: number[];
  submitted_at?: string;
  queued_at?: string;
  starting_at?: string;
  running_at?: string;
}
/**
 * One process that writes into an invocation.
 */
export interface Producer {
  producer: string;
  process: Process | null;
  opened: boolean;
  closed: boolean;
  stored: number;
  numbered: number;
  rejected: number;
  last_word_at: string | null;
  role: "supervisor" | null;
  parent: string | null;
  attempt: number[] | null;
  attempt_name: string | null;
  superseded: boolean;
  end: End | null;
}
/**
 * One of several runs of the same work.
 */
export interface NumberedAttempt {
  /**
   * Whole numbers, compared in order; none is the first attempt.
   */
  attempt: number[];
  names: string[];
  producers: number;
  superseded: boolean;
}
/**
 * A part of the newest attempt's way: how long it was queued, how long it took to start, how long it ran.
 */
export interface Stage {
  name: "queued" | "running" | "starting";
  begin: string;
  /**
   * null while it goes on.
   */
  end: string | null;
}
/**
 * Where a searched text was found.
 */
export interface Match {
  in: "exception" | "log" | "names" | "reasons" | "rejected";
  text: string;
}
/**
 * Counts over time, by verdict (or status) or by badge.
 */
export interface InvocationCounts {
  bin: "day" | "hour" | "minute";
  since: string;
  until: string;
  bins: Bin[];
  total: {
    [k: string]: number;
  };
}
export interface InvocationPage {
  items: Invocation[];
  next_cursor: string | null;
  searched_to: string | null;
}
export interface Label {
  label: string;
  last: Point;
}
/**
 * A number over time. Of a bin: its last one, with the least, the greatest and how many there were.
 */
export interface Point {
  at: string;
  /**
   * Not finite: its name. Null: an int or float without a value.
   */
  value: number | ("-Infinity" | "Infinity" | "NaN") | null;
  invocation_id: string;
  position: number;
  partition_key: string | null;
  /**
   * Not finite: its name. Null: an int or float without a value.
   */
  min: number | ("-Infinity" | "Infinity" | "NaN") | null;
  /**
   * Not finite: its name. Null: an int or float without a value.
   */
  max: number | ("-Infinity" | "Infinity" | "NaN") | null;
  count: number;
}
export interface LabelPage {
  items: Label[];
  next_cursor: string | null;
  left_out: number;
}
/**
 * The last green one before, and in what the two are alike.
 */
export interface LastGood {
  invocation: Invocation | null;
  same: string[];
}
export interface Launch {
  state: "queued" | "running" | "starting" | "submitted";
  platform?: string | null;
  job_id?: string | null;
  node?: string | null;
  image?: string | null;
  url?: string | null;
  attempt?: number | number[] | null;
  at?: string | null;
}
export interface LimitsAnswer {
  body_bytes: number;
  decompressed_bytes: number;
  message_bytes: number;
  batch_messages: number;
  control_bytes: number;
  finish_bytes: number;
  registration_bytes: number;
  context_bytes: number;
  json_depth: number;
  integer_digits: number;
  name_characters: number;
  requests_per_second: number;
  protocol: string;
  server_version: string;
}
export interface LoginLink {
  url: string;
  expires_in_seconds: number;
}
export interface MaterializationPage {
  items: Materialization[];
  next_cursor: string | null;
}
export interface Message {
  method:
    | "closed"
    | "log"
    | "log_external_stream"
    | "opened"
    | "report_asset_check"
    | "report_asset_materialization"
    | "report_asset_observation"
    | "report_custom_message"
    | "report_process_end";
  params?: Json;
  sent_at?: string;
  details?: Json;
  ledger?: Json;
}
export interface ObservationPage {
  items: Observation[];
  next_cursor: string | null;
}
export interface ReasonGiven {
  reason?: string | null;
}
/**
 * An invocation, and what its process needs.
 */
export interface Registered {
  invocation: Invocation;
  url: string;
  token: string;
  env: {
    [k: string]: string;
  };
}
export interface Registration {
  context?: GivenContext;
  expected?: Expected | null;
  tags?: {
    [k: string]: string;
  } | null;
  launcher?: Json;
  retry_of?: string | null;
  lease_seconds?: number | null;
  open_within_seconds?: number | null;
  settle_seconds?: number | null;
  pipes?: ("optional" | "required") | null;
}
export interface ReportPlace {
  invocation_id: string;
  position: number;
  received_at: string;
}
/**
 * How a table schema changed from one materialization to the next.
 */
export interface SchemaChange {
  invocation_id: string;
  position: number;
  received_at: string;
  partition_key: string | null;
  label: string;
  added: Column[];
  removed: Column[];
  changed: ChangedColumn[];
  previous: ReportPlace;
}
export interface SchemaChangePage {
  items: SchemaChange[];
  next_cursor: string | null;
}
export interface Series {
  asset_key: string;
  label: string;
  points: Point[];
  binned: boolean;
}
/**
 * The value of `table`.
 */
export interface Table {
  records: {
    [k: string]: string | number | boolean | null;
  }[];
  schema: TableSchema;
}
/**
 * The value of `table_schema`, and the schema of a `table`.
 */
export interface TableSchema {
  columns: Column[];
  constraints: TableConstraints;
}
export interface TableConstraints {
  other: string[];
}
