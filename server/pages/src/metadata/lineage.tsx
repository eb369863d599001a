// Column lineage as a graph: upstream assets on the left with the columns that are used, this asset's on the right.
import { Graph, layout } from "@dagrejs/dagre";
import { useMemo } from "preact/hooks";
import { visible } from "../lib/format";
import { assetHref, assetText, Link } from "../lib/router";
import type { ColumnLineage } from "../lib/types";
import { PartBar, usePart } from "../parts/more";

const ROW = 22;
const HEAD = 26;
const MOST_COLUMNS = 60;
const LISTED = 100;
/** The graph's own node; the others are named "up:" and the asset's key. */
const OWN = "own";

interface Box {
  id: string;
  name: string;
  columns: string[];
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Upstream {
  asset: string;
  column: string;
}

export function Lineage({ lineage, asset }: { lineage: ColumnLineage; asset: string }) {
  const deps = useMemo(() => upstreamOf(lineage), [lineage]);
  const drawn = useMemo(() => draw(deps, asset), [deps, asset]);
  const columns = Object.keys(deps);
  const part = usePart(Object.entries(deps), ([column]) => column, LISTED);
  return (
    <figure class="lineage">
      <div class="scroll" tabIndex={0} role="region" aria-label={`Column lineage of ${asset}`}>
        <svg width={drawn.width} height={drawn.height} role="img" aria-label={`${columns.length} columns with their upstream columns`}>
          {drawn.edges.map((edge) => (
            <path key={edge.key} d={edge.path} class="edge" />
          ))}
          {drawn.boxes.map((box) => (
            <g key={box.id} transform={`translate(${box.x},${box.y})`}>
              <rect width={box.width} height={box.height} rx="6" class={box.id === OWN ? "box own" : "box"} />
              <text x="10" y="17" class="box-name">
                {short(box.name)}
                <title>{visible(box.name)}</title>
              </text>
              <line x1="0" x2={box.width} y1={HEAD} y2={HEAD} class="box-line" />
              {box.columns.map((column, index) => (
                <text key={column} x="10" y={HEAD + ROW * index + 16} class="box-column">
                  {short(column)}
                  <title>{visible(column)}</title>
                </text>
              ))}
            </g>
          ))}
        </svg>
      </div>
      <details>
        <summary>As a list</summary>
        <PartBar part={part} total={columns.length} what="columns" at={LISTED} />
        <ul class="plain">
          {part.shown.map(([column, upstream]) => (
            <li key={column}>
              <code>{visible(column)}</code> from{" "}
              {upstream.length
                ? upstream.map((one, index) => (
                    <span key={index}>
                      {index > 0 && ", "}
                      <Link to={assetHref(one.asset)}>{visible(one.asset)}</Link>.<code>{visible(one.column)}</code>
                    </span>
                  ))
                : "nothing"}
            </li>
          ))}
        </ul>
      </details>
      {columns.length > MOST_COLUMNS && <p class="quiet">The graph shows the first {MOST_COLUMNS} columns; the list has all.</p>}
    </figure>
  );
}

const upstreamOf = ({ deps_by_column: deps }: ColumnLineage): Record<string, Upstream[]> =>
  Object.fromEntries(Object.entries(deps).map(([column, upstream]) => [column, upstream.map((one) => ({ asset: assetText(one.asset_key), column: one.column_name }))]));
const nameOf = (id: string, asset: string): string => (id === OWN ? asset || "this asset" : id.slice("up:".length));
const short = (text: string): string => visible(text.length > 26 ? `${text.slice(0, 24)}…` : text);

function draw(deps: Record<string, Upstream[]>, asset: string) {
  const shown = Object.entries(deps).slice(0, MOST_COLUMNS);
  const columnsOf = new Map<string, string[]>([[OWN, shown.map(([column]) => column)]]);
  for (const [, upstream] of shown) {
    for (const { asset: key, column } of upstream) {
      const known = columnsOf.get(`up:${key}`) ?? [];
      if (!known.includes(column)) known.push(column);
      columnsOf.set(`up:${key}`, known);
    }
  }
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", ranksep: 90, nodesep: 18, marginx: 2, marginy: 2 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const [id, columns] of columnsOf) {
    const longest = Math.max(...[nameOf(id, asset), ...columns].map((text) => Math.min(text.length, 26)));
    graph.setNode(id, { width: Math.max(110, longest * 7.4 + 24), height: HEAD + ROW * columns.length + 4 });
    if (id !== OWN) graph.setEdge(id, OWN);
  }
  layout(graph);
  const boxes: Box[] = [...columnsOf].map(([id, columns]) => {
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(id) as { x: number; y: number; width: number; height: number };
    return { id, name: nameOf(id, asset), columns, x: x - width / 2, y: y - height / 2, width, height };
  });
  const find = (id: string) => boxes.find((box) => box.id === id) as Box;
  const middle = (box: Box, column: string) => box.y + HEAD + ROW * box.columns.indexOf(column) + ROW / 2;
  const own = find(OWN);
  const edges = shown.flatMap(([column, upstream]) =>
    upstream.map((one) => {
      const from = find(`up:${one.asset}`);
      const [x1, y1, x2, y2] = [from.x + from.width, middle(from, one.column), own.x, middle(own, column)];
      const bend = Math.max(30, (x2 - x1) / 2);
      return { key: `${one.asset}\u0000${one.column}\u0000${column}`, path: `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}` };
    }),
  );
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return { boxes, edges, width: width + 4, height: height + 4 };
}
