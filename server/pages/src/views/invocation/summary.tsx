// The summary at the head of an invocation: what it is about, where it runs, and how long it waited and ran.
import type { ComponentChildren } from "preact";
import { ago, count, duration } from "../../lib/format";
import { assetKeys, launcherText, partitionText, taken } from "../../lib/group";
import { assetHref, href, invocationHref, Link } from "../../lib/router";
import { stageMillis, webAddress } from "../../lib/stages";
import type { Invocation } from "../../lib/types";
import { Text, Time } from "../../parts/common";

type Row = [string, ComponentChildren];

export function facts(invocation: Invocation, now: number): Row[] {
  const { context } = invocation;
  const assets = assetKeys(invocation);
  const running = invocation.status === "running";
  const rows: Row[] = [];
  if (context.job_name) rows.push(["Job", <Link to={href("", { job_name: context.job_name })}><Text>{context.job_name}</Text></Link>]);
  if (assets.length) {
    rows.push([assets.length > 1 ? "Assets" : "Asset", assets.slice(0, 12).map((key, index) => <span key={key}>{index > 0 && ", "}<Link to={assetHref(key)}><Text>{key}</Text></Link></span>)]);
  }
  if (partitionText(invocation)) rows.push(["Partition", <Text>{partitionText(invocation)}</Text>]);
  if (context.run_id) rows.push(["Run", <Link to={href("", { run_id: context.run_id })}><span class="mono"><Text>{context.run_id}</Text></span></Link>]);
  if (launcherText(invocation)) rows.push(["Launcher", <Text>{launcherText(invocation)}</Text>]);
  rows.push(...places(invocation));
  rows.push(["Registered", <Time value={invocation.created_at} />]);
  rows.push(...times(invocation, now));
  if (invocation.ended_at) rows.push(["Ended", <Time value={invocation.ended_at} />]);
  if (running && invocation.heard_at) {
    const lease = invocation.lease_expires_at;
    rows.push(["Last word", <span title={lease ? `taken for lost at ${lease} without another` : undefined}>{ago(invocation.heard_at, now)}</span>]);
  }
  rows.push(["Events", count(invocation.last_position)]);
  const tags = Object.entries(invocation.tags);
  if (tags.length) {
    rows.push(["Tags", tags.map(([name, value]) => <Link key={name} class="chip" to={href("", { tag: `${name}=${value}` })}><Text>{`${name}=${value}`}</Text></Link>)]);
  }
  if (invocation.retry_of) rows.push(["Retry of", <Link to={invocationHref(invocation.retry_of)}><span class="mono">{invocation.retry_of}</span></Link>]);
  if (invocation.pipes === "optional") rows.push(["Pipes", "optional"]);
  if (invocation.revision > 1) rows.push(["Verdict revised", `${invocation.revision - 1} times`]);
  return rows;
}

/** Where its platform has it. An address is a link only where a browser may follow it. */
function places(invocation: Invocation): Row[] {
  const { platform } = invocation;
  if (!platform) return [];
  const rows: Row[] = [];
  const address = webAddress(platform.url);
  const job = platform.job_id ?? (address ? "its page" : "");
  if (platform.platform && platform.platform !== launcherText(invocation)) rows.push(["Platform", <Text>{platform.platform}</Text>]);
  if (job) rows.push(["Platform job", address ? <a href={address} target="_blank" rel="noopener noreferrer nofollow"><Text>{job}</Text></a> : <Text>{job}</Text>]);
  if (platform.url && !address) rows.push(["Platform address", <span class="mono"><Text>{platform.url}</Text></span>]);
  if (platform.node) rows.push(["Node", <Text>{platform.node}</Text>]);
  if (platform.image) rows.push(["Image", <span class="mono"><Text>{platform.image}</Text></span>]);
  return rows;
}

const STAGES = { queued: "Queued", starting: "Starting", running: "Running" };

/** Queue time apart from running time where its launcher told of it, else from the opening on. */
function times(invocation: Invocation, now: number): Row[] {
  const { stages } = invocation;
  const ended = invocation.status === "ended";
  const rows = stages.map((stage): Row => {
    const name = stage.end === null ? `${STAGES[stage.name]} for` : stage.name === "running" ? "Ran" : STAGES[stage.name];
    return [name, <span title={`since ${stage.begin}`}>{duration(stageMillis(stage, now))}{stage.name === "running" && !invocation.platform?.attempt?.length && usual(invocation)}</span>];
  });
  if (!stages.some(({ name }) => name === "running") && invocation.opened_at && !invocation.platform) {
    rows.push([ended ? "Took" : "Running for", <span title={`since ${invocation.opened_at}`}>{duration(taken(invocation, now))}{usual(invocation)}</span>]);
  }
  return rows;
}

function usual(invocation: Invocation) {
  return invocation.usual_seconds ? <span class="quiet"> usually {duration(invocation.usual_seconds * 1000)}</span> : null;
}
