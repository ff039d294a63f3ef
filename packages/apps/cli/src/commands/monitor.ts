// `axoneme monitor`: verdicts as they happen, with the rule that decided.
import { protocolText, Shadow } from '@axoneme/datapath';
import type { FlowSample, MonitorResponse } from '@axoneme/proto';
import type { AdminClient } from '@axoneme/stream';
import type { Output } from '../output.ts';

export interface MonitorQuery {
  readonly dropsOnly: boolean;
  /** Empty: all nodes. */
  readonly node: string;
  readonly last: number;
  readonly follow: boolean;
  readonly json: boolean;
}

const verdicts: Readonly<Record<number, string>> = { 1: 'FORWARDED', 2: 'DROPPED', 3: 'ERROR', 4: 'AUDIT', 5: 'REDIRECTED' };

export interface FlowLine {
  readonly time: string;
  readonly node: string;
  readonly verdict: string;
  readonly direction: 'ingress' | 'egress';
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly endpointId: number;
  readonly length: number;
  /** Empty when not dropped. */
  readonly dropReason: string;
  readonly dropReasonNumber: number;
  /** Empty when no rule decided. */
  readonly rule: string;
  /** `spec.log.value` of the policy that decided. */
  readonly policyLog: string;
  /** What the shadow policies would have done otherwise. */
  readonly shadow: ShadowLine | null;
}

export interface ShadowLine {
  readonly verdict: 'DROPPED' | 'FORWARDED';
  /** `default deny` or `rule`; empty when it would pass. */
  readonly reason: string;
  readonly direction: 'ingress' | 'egress';
  readonly rule: string;
}

function shadowLine(f: FlowSample, rule: string): ShadowLine | null {
  if (f.shadow === 0) return null;
  const passes = f.shadow === Shadow.pass;
  return {
    verdict: passes ? 'FORWARDED' : 'DROPPED',
    reason: passes ? '' : f.shadow === Shadow.defaultDeny ? 'default deny' : 'rule',
    direction: f.shadowDirection === 0 ? 'ingress' : 'egress',
    rule,
  };
}

const shadowText = (s: ShadowLine): string =>
  `shadow ${s.direction} ${s.verdict === 'DROPPED' ? 'would drop' : 'would pass'}${s.rule === '' ? '' : ` by ${s.rule}`}`;

export function flowLine(m: MonitorResponse): FlowLine | undefined {
  const f = m.flow;
  if (f === undefined) return undefined;
  return {
    time: new Date(Math.floor(f.timeUnixUs / 1000)).toISOString(),
    node: m.node,
    verdict: verdicts[f.verdict] ?? String(f.verdict),
    direction: f.direction === 0 ? 'ingress' : 'egress',
    protocol: protocolText(f.protocol),
    source: m.source,
    destination: m.destination,
    sourceIdentity: f.sourceIdentity,
    destinationIdentity: f.destinationIdentity,
    endpointId: f.endpointId,
    length: f.length,
    dropReason: m.dropReasonName,
    dropReasonNumber: f.dropReason,
    rule: m.rule,
    policyLog: m.policyLog,
    shadow: shadowLine(f, m.shadowRule),
  };
}

export function renderFlow(l: FlowLine): string {
  const why = [l.dropReason === '' ? '' : `${l.dropReason} (${l.dropReasonNumber})`, l.rule === '' ? '' : `by ${l.rule}`].filter(
    (s) => s !== '',
  );
  if (l.policyLog !== '') why.push(`log "${l.policyLog}"`);
  if (l.shadow !== null) why.push(shadowText(l.shadow));
  const head = `${l.time.slice(11, 23)} ${l.node} ${l.verdict.padEnd(9)} ${l.direction.padEnd(7)} ${l.protocol.padEnd(6)}`;
  return `${head} ${l.source} -> ${l.destination}${why.length === 0 ? '' : `  ${why.join(', ')}`}\n`;
}

export async function monitor(client: AdminClient, q: MonitorQuery, out: Output, signal: AbortSignal): Promise<void> {
  for await (const m of client.monitor({ dropsOnly: q.dropsOnly, node: q.node, last: q.last, noFollow: !q.follow }, signal)) {
    const line = flowLine(m);
    if (line !== undefined) out.write(q.json ? `${JSON.stringify(line)}\n` : renderFlow(line));
  }
}
