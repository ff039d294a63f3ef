// `axoneme bpf … list`: rows of a node's kernel tables, as the node prints them.

import { AppError } from '@axoneme/std';
import type { AdminClient } from '@axoneme/stream';
import { type Cell, jsonArray, type Output, table } from '../output.ts';

export interface BpfQuery {
  readonly node: string;
  /** policy | ipcache | ct | lb | nat, or the name of a table. */
  readonly table: string;
  readonly limit: number;
  readonly json: boolean;
}

type Row = Readonly<Record<string, unknown>>;

function parse(line: string): Row {
  try {
    return JSON.parse(line) as Row;
  } catch (cause) {
    throw new AppError({ code: 'cli/garbage', message: 'the node sent something that is not JSON', cause });
  }
}

const cell = (v: unknown): Cell => {
  if (v === null || v === undefined || typeof v === 'string' || typeof v === 'number' || typeof v === 'boolean') return v;
  if (Array.isArray(v)) return v.map((x) => String(cell(x))).join(',');
  return Object.entries(v as Row)
    .map(([k, x]) => `${k}=${String(cell(x))}`)
    .join(',');
};

/** `denyRules` → `DENY RULES`. */
const heading = (key: string): string => key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toUpperCase();

/** One block per table; the columns are those of its rows, in the order the node sent them. */
export function renderRows(rows: readonly Row[]): string {
  const byTable = Map.groupBy(rows, (r) => (typeof r.table === 'string' ? r.table : ''));
  const blocks = [...byTable].map(([name, members]) => {
    const columns = [...new Set(members.flatMap((r) => Object.keys(r)))].filter((c) => c !== 'table');
    const body = table(
      columns.map(heading),
      members.map((r) => columns.map((c) => cell(r[c]))),
    );
    return byTable.size > 1 ? `${name} (${members.length})\n${body}` : body;
  });
  return blocks.length === 0 ? 'no entries\n' : blocks.join('\n');
}

export async function listTable(client: AdminClient, q: BpfQuery, out: Output): Promise<void> {
  const answers = client.listTable({ node: q.node, table: q.table, limit: q.limit });
  if (q.json) {
    const array = jsonArray(out);
    for await (const a of answers) array.add(a.json);
    array.end();
    return;
  }
  const rows: Row[] = [];
  for await (const a of answers) rows.push(parse(a.json));
  out.write(renderRows(rows));
}
