// Answers the operator's questions from the kernel tables, row by row as JSON lines. Called by the relay stream of the operator link.
import type { BpfMap } from '@axoneme/bpf';
import { displayRows, isPerCpu, isTableName, sumPerCpu, type TableName, valueSize } from '@axoneme/datapath';
import { AppError } from '@axoneme/std';
import type { AnswerHandler } from '@axoneme/stream';

export interface RelaySources {
  readonly map: (name: string) => BpfMap | undefined;
  readonly endpoints: () => readonly object[];
  readonly status: () => object;
}

/** Questions by the names the command line uses; a table name is a question too. */
const aliases: Readonly<Record<string, readonly TableName[]>> = {
  policy: ['policy', 'subject', 'addr_class'],
  ct: ['flow4', 'flow6'],
  nat: ['nat4', 'nat6'],
  lb: ['lb_frontend', 'lb_slot', 'lb_source', 'lb_affinity'],
};

function* rows(name: TableName, map: BpfMap): Generator<string> {
  for (const { keys, values, count } of map.dumpChunks()) {
    const flat = isPerCpu(name)
      ? Buffer.concat(
          Array.from({ length: count }, (_, i) =>
            sumPerCpu(values.subarray(i * map.valueBytes, (i + 1) * map.valueBytes), valueSize(name)),
          ),
        )
      : values;
    for (const row of displayRows(name, keys, flat)) yield JSON.stringify({ table: name, ...row });
  }
}

const lookup = 'lookup ';

/** The clock of the kernel's tables, then the rows of these keys that are there. Tries answer with the longest match. */
function* find(question: string, s: RelaySources): Generator<string> {
  const { table, keys } = readLookup(question);
  const map = s.map(table);
  yield JSON.stringify({ nowNs: String(process.hrtime.bigint()) });
  for (const key of map === undefined ? [] : keys) {
    const bytes = Buffer.from(key, 'hex');
    const value = bytes.length === map!.keySize ? map!.lookup(bytes) : undefined;
    if (value !== undefined) yield JSON.stringify({ key, value: value.toString('hex') });
  }
}

function readLookup(question: string): { readonly table: TableName; readonly keys: readonly string[] } {
  try {
    const { table, keys } = JSON.parse(question) as { table: string; keys: string[] };
    if (isTableName(table) && !isPerCpu(table) && Array.isArray(keys) && keys.every((k) => typeof k === 'string')) return { table, keys };
  } catch {
    // said below
  }
  throw new AppError({ code: 'agent/unknown-query', message: 'a lookup names a table and its keys' });
}

export function createAnswers(s: RelaySources): AnswerHandler {
  return async function* answer(query, _limit, signal) {
    if (query.startsWith(lookup)) return yield* find(query.slice(lookup.length), s);
    if (query === 'status') return yield JSON.stringify(s.status());
    if (query === 'endpoints') {
      for (const e of s.endpoints()) yield JSON.stringify(e);
      return;
    }
    const names = aliases[query] ?? (isTableName(query) ? [query] : undefined);
    if (names === undefined) {
      throw new AppError({
        code: 'agent/unknown-query',
        message: `this agent cannot answer "${query}"`,
        hint: 'policy, ipcache, ct, lb, endpoints, status or a table',
      });
    }
    for (const name of names) {
      const map = s.map(name);
      if (!map) continue;
      for (const line of rows(name, map)) {
        if (signal.aborted) return;
        yield line;
      }
      // a big table must not hold the loop
      await new Promise((r) => setImmediate(r));
    }
  };
}
