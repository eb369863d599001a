// The resources of the API as the pages read them; lib/resources.ts is made from the server's, docs/protocol.md says what they mean.
import type { Json, JsonObject } from "./json";
import type { CheckResult, Event as StoredEvent, EventPage as StoredEventPage, Finish, Invocation, Materialization, MetadataEntry, Platform, ReportedException } from "./resources";

export type {
  Asset,
  Change,
  ChangeDetail,
  CheckResult,
  CheckState,
  Column,
  ColumnLineage,
  Comparison,
  DifferentLeaf,
  EndDescription,
  Invocation,
  InvocationCounts,
  LastGood,
  Materialization,
  MetadataEntry,
  Note,
  Platform,
  Point,
  Problem,
  Producer,
  ProducerReceipt,
  Reason,
  SchemaChange,
  Series,
  Stage,
  Table,
  TableSchema,
  UpstreamColumn,
} from "./resources";

export type { Json, JsonObject };
export type BadgeName = Invocation["badge"];
/** How work ended, in the words of its launcher or of a supervisor. */
export type End = Finish;
/** As a program sent it. */
export type Exception = Partial<Omit<ReportedException, "cause" | "context">> & { cause?: Exception | null; context?: Exception | null };
export type LaunchState = Platform["state"];
export type Report = Materialization | CheckResult;
export type Metadata = { [label: string]: MetadataEntry };

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  /** How far back a search has looked that had to stop somewhere. */
  searched_to?: string | null;
}

/** The value of an entry, which in normal form is what its type says. */
export const valueOf = <T>(raw: Json): T => raw as unknown as T;

/** Of a rejected message any JSON may stand for these three; asked for a member of it JavaScript says `undefined`. */
export type Event = Omit<StoredEvent, "method" | "params" | "details"> & {
  method: string | null;
  params: JsonObject | null;
  details?: JsonObject;
};
export type EventPage = Omit<StoredEventPage, "items"> & { items: Event[] };
