// `GET pods/x/log`: what a container wrote, and with `follow` what it will write.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type LogLine, readLogFile } from '../kubelet/log-file.ts';
import type { PodWorker } from '../kubelet/pod-worker.ts';

export interface LogQuery {
  readonly container: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tail: number | undefined;
  readonly sinceMs: number | undefined;
  readonly limitBytes: number | undefined;
}

export function logQuery(url: string, fallback: string, nowMs: number): LogQuery {
  const q = new URL(url, 'http://x').searchParams;
  const number = (name: string): number | undefined => (q.get(name) === null ? undefined : Number(q.get(name)));
  const sinceSeconds = number('sinceSeconds');
  const sinceTime = q.get('sinceTime');
  return {
    container: q.get('container') || fallback,
    follow: q.get('follow') === 'true',
    previous: q.get('previous') === 'true',
    timestamps: q.get('timestamps') === 'true',
    tail: number('tailLines'),
    sinceMs: sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTime === null ? undefined : Date.parse(sinceTime),
    limitBytes: number('limitBytes'),
  };
}

/** The lines a query asks for, of those there are. Pure. */
export function selectLines(lines: readonly LogLine[], q: LogQuery): readonly LogLine[] {
  const { sinceMs } = q;
  const recent = sinceMs === undefined ? lines : lines.filter((l) => Date.parse(`${l.at.slice(0, 23)}Z`) >= sinceMs);
  return q.tail === undefined ? recent : q.tail === 0 ? [] : recent.slice(-q.tail);
}

const render = (l: LogLine, q: LogQuery): string => (q.timestamps ? `${l.at} ${l.text}\n` : `${l.text}\n`);

/** API servers answer with a Status; a kubelet answers in plain text, which an API server wraps into one. */
function refuse(req: IncomingMessage, res: ServerResponse, code: number, reason: string, message: string): void {
  if (req.url?.startsWith('/containerLogs/') === true) {
    res.writeHead(code, { 'Content-Type': 'text/plain' }).end(message);
    return;
  }
  res.writeHead(code, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }));
}

export function handleLogs(
  worker: PodWorker | undefined,
  podName: string,
  first: string,
  nowMs: number,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  const q = logQuery(req.url ?? '/', first, nowMs);
  const c = worker?.container(q.container);
  if (c === undefined) {
    refuse(
      req,
      res,
      400,
      'BadRequest',
      worker === undefined
        ? `pod ${podName} does not run on a node of this sandbox`
        : `container ${q.container} is not valid for pod ${podName}`,
    );
    return;
  }
  const log = c.runtime?.log();
  const previous = c.runtime?.previousLogPath();
  if (q.previous ? previous === undefined : log === undefined) {
    const state = c.runtime?.state();
    const why = state?.kind === 'waiting' ? state.reason : 'ContainerCreating';
    const text = q.previous
      ? `previous terminated container "${q.container}" in pod "${podName}" not found`
      : `container "${q.container}" in pod "${podName}" is waiting to start: ${why}`;
    refuse(req, res, 400, 'BadRequest', text);
    return;
  }
  res.writeHead(200, { 'Content-Type': 'text/plain' });
  const held = q.previous && previous !== undefined ? readLogFile(previous) : (log?.lines() ?? []);
  const body = selectLines(held, q)
    .map((l) => render(l, q))
    .join('');
  res.write(q.limitBytes === undefined ? body : Buffer.from(body).subarray(0, q.limitBytes));
  if (!q.follow || q.previous || log === undefined || log.ended) {
    res.end();
    return;
  }
  res.flushHeaders();
  const stop = log.follow(
    (l) => res.write(render(l, q)),
    () => res.end(),
  );
  res.on('close', stop);
}
