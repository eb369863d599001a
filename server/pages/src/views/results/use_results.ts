// Everything an invocation reported but its logs, as it comes, in the forms the tabs need.
import { useEffect, useMemo, useState } from "preact/hooks";
import { follow, type Line } from "../../lib/live";
import type { Event } from "../../lib/types";

export const LOG_METHODS = ["log", "log_external_stream"];
const METHODS = ["opened", "closed", "report_asset_materialization", "report_asset_check", "report_asset_observation", "report_custom_message", "report_process_end", "rejected"];
const MOST = 100_000;

export interface Results {
  events: Event[];
  opened: Event[];
  closed: Event[];
  materializations: Event[];
  checks: Event[];
  observations: Event[];
  customs: Event[];
  rejected: Event[];
  line: Line;
}

/** `revision` begins anew what had ended: a late spool, or a lost process that came back. */
export function useResults(id: string, revision: number | undefined, onEnd: () => void): Results {
  const [events, setEvents] = useState<Event[]>([]);
  const [line, setLine] = useState<Line>("catching up");
  useEffect(() => {
    if (revision === undefined) return undefined;
    setEvents([]);
    const following = follow(id, { methods: METHODS }, {
      events: (batch) => setEvents((before) => (before.length < MOST ? [...before, ...batch] : before)),
      line: setLine,
      ended: onEnd,
    });
    return following.close;
  }, [id, revision]);
  return useMemo(() => {
    const good = (method: string) => events.filter((event) => event.method === method && !event.problem);
    return {
      events,
      opened: good("opened"),
      closed: good("closed"),
      materializations: good("report_asset_materialization"),
      checks: good("report_asset_check"),
      observations: good("report_asset_observation"),
      customs: good("report_custom_message"),
      rejected: events.filter((event) => event.problem),
      line,
    };
  }, [events, line]);
}
