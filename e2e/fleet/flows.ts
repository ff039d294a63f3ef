// Questions of the client outside to the fleet's addresses, and what is wrong with the answers.
import type { Fixture } from '../fixture.ts';
import type { Client, Nothing, WhoAnswer } from '../north/who.ts';
import { FAMILIES, type Family, MODES, type Mode, VIPS } from './fleet.ts';
import { PORTS } from './servers.ts';

const PROTOCOLS = ['TCP', 'UDP'] as const;
export interface Flow {
  readonly mode: Mode;
  readonly family: Family;
  readonly protocol: (typeof PROTOCOLS)[number];
}
export const ALL_FLOWS: readonly Flow[] = MODES.flatMap((mode) =>
  FAMILIES.flatMap((family) => PROTOCOLS.map((protocol) => ({ mode, family, protocol }))),
);
export const flowText = (w: Flow): string => `${w.mode} IPv${w.family} ${w.protocol}`;

export type Answers = readonly (WhoAnswer | Nothing)[];

let nextPort = 10_000;
/** So many source ports that no question has used. */
export function freshPorts(count: number): number[] {
  if (nextPort + count > 60_000) nextPort = 10_000;
  nextPort += count;
  return Array.from({ length: count }, (_, i) => nextPort - count + i);
}

export async function askFrom(client: Client, w: Flow, ports: readonly number[], timeoutMs = 3_000): Promise<Answers> {
  const to = { protocol: w.protocol, address: VIPS[w.mode][w.family], port: PORTS.who, timeoutMs };
  return client.ask(ports.map((sourcePort) => ({ ...to, sourcePort })));
}

export const serverOf = (a: WhoAnswer | Nothing): string => (typeof a === 'string' ? a : a.backend);

/** By kind of flow: who answered fresh ones, in order of name. */
export async function whoServes(client: Client, count = 24, timeoutMs = 3_000): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const w of ALL_FLOWS) {
    const answers = await askFrom(client, w, freshPorts(count), timeoutMs);
    out[flowText(w)] = [...new Set(answers.map(serverOf))].sort().join();
  }
  return out;
}
export const everyFlow = (servers: string): Record<string, string> => Object.fromEntries(ALL_FLOWS.map((w) => [flowText(w), servers]));

/** Rows of a node that have one of these addresses. */
export async function rowsWith(f: Fixture, node: string, addresses: readonly string[]): Promise<string[]> {
  const out = await f.cli('bpf', 'lb', 'list', '--node', node, '-o', 'json');
  return out.split('\n').filter((l) => addresses.some((a) => l.includes(`"${a}"`)));
}
