// Follows the mirror of a cluster without polling: first everything, then each change; everything again after any gap.
// Called by operator replicas that do not lead, and by other clusters.
import { AppError, type Clock, createBackoff, type Log } from '@axoneme/std';
import { type Connection, type ConnectionConfig, connect, loadScript, type Reply } from './connection.ts';
import { list, parseValue, readView } from './read.ts';
import { type Kind, keysOf, kinds, type Records, type View } from './records.ts';

export interface Position {
  /** Id of the last journal entry seen. */
  readonly id: string;
  readonly sequence: number;
  readonly generation: string;
}

export type KvEvent =
  | { readonly kind: 'reset'; readonly view: View; readonly position: Position }
  | {
      [K in Kind]: {
        readonly kind: 'change';
        readonly of: K;
        readonly key: string;
        readonly value: Records[K] | undefined;
        readonly position: Position;
      };
    }[Kind];

export interface FollowConfig extends ConnectionConfig {
  readonly cluster: string;
  /** Longest wait inside Redis; also how soon a flush of an idle mirror is noticed. */
  readonly blockMs: number;
  readonly batchMax: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
}

export const followDefaults: Omit<FollowConfig, 'url' | 'cluster'> = {
  name: 'axoneme-follow',
  blockMs: 1_000,
  batchMax: 512,
  backoff: { baseMs: 100, maxMs: 5_000 },
};

export interface FollowDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Told when Redis goes away (reason) and when it is back (undefined). */
  readonly trouble?: (reason: string | undefined) => void;
}

const position = loadScript('position');

function fieldsOf(entry: Reply): { id: string; fields: Map<string, string> } {
  const [id, flat] = list(entry);
  const texts = list(flat ?? []).map(String);
  return { id: String(id), fields: new Map(texts.flatMap((t, i) => (i % 2 === 0 ? [[t, texts[i + 1] ?? ''] as const] : []))) };
}

/** The next event after `last`, or undefined when the entry does not follow it. */
function eventOf(entry: Reply, last: Position): KvEvent | undefined {
  const { id, fields } = fieldsOf(entry);
  const sequence = Number(fields.get('s'));
  const of = fields.get('k') as Kind;
  if (fields.get('g') !== last.generation || sequence !== last.sequence + 1 || !kinds.includes(of)) return undefined;
  const text = fields.get('v');
  const value = text === undefined ? undefined : parseValue(text);
  return { kind: 'change', of, key: fields.get('n') ?? '', value, position: { id, sequence, generation: last.generation } } as KvEvent;
}

async function where(c: Connection, cluster: string): Promise<Position> {
  const keys = keysOf(cluster);
  const [generation, sequence, id] = list(await c.script(position, [keys.meta, keys.journal], []));
  return { generation: String(generation), sequence: Number(sequence), id: String(id) };
}

/** Events from one connection until it fails; `last` undefined = start with everything. */
async function* read(c: Connection, config: FollowConfig, from: Position | undefined, signal: AbortSignal): AsyncGenerator<KvEvent> {
  const keys = keysOf(config.cluster);
  let last = from;
  while (!signal.aborted) {
    const now = await where(c, config.cluster);
    if (last === undefined || last.generation !== now.generation || now.sequence < last.sequence) {
      // Read after the position was taken: changes in between come twice, which is harmless.
      last = now;
      yield { kind: 'reset', view: await readView(c, keys), position: now };
    }
    const reply = await c.command('XREAD', 'COUNT', config.batchMax, 'BLOCK', config.blockMs, 'STREAMS', keys.journal, last.id);
    for (const entry of list(list(list(reply)[0] ?? [])[1] ?? [])) {
      const event: KvEvent | undefined = last === undefined ? undefined : eventOf(entry, last);
      last = event?.position;
      if (event === undefined) break;
      yield event;
    }
  }
}

/** Never ends before the signal; trouble with Redis is waited out. Give `from` to go on where an earlier follower stopped. */
export async function* follow(d: FollowDeps, config: FollowConfig, signal: AbortSignal, from?: Position): AsyncGenerator<KvEvent> {
  const backoff = createBackoff(config.backoff);
  const c = connect(config);
  signal.addEventListener('abort', () => c.close(), { once: true });
  let last = from;
  let troubled = false;
  try {
    while (!signal.aborted) {
      try {
        for await (const event of read(c, config, last, signal)) {
          if (troubled) d.trouble?.(undefined);
          troubled = false;
          backoff.reset();
          last = event.position;
          yield event;
        }
      } catch (e) {
        if (signal.aborted) return;
        const error = e instanceof AppError ? e : new AppError({ code: 'kvstore/failed', message: String(e), cause: e });
        if (!troubled) d.log.warn('mirror cannot be followed', { error });
        troubled = true;
        d.trouble?.(error.message);
        await d.clock.sleep(backoff.nextMs(), signal);
      }
    }
  } finally {
    c.close();
  }
}
