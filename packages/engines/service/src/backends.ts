// Backend sets: immutable, ordered, named by content; and which backends of a Service a node's clients get. Called by the compile.
import { compareIp, type IpAddr, type IpFamily, ipFamily, type Port, type PortProtocol, protocolNumbers } from '@axoneme/model';
import { hash32, hash64 } from '@axoneme/std';
import { type BackendState, backendState, isDraining, selectServing, stateRank } from './backend-state.ts';
import type { ServicePort, SliceEndpoint, SliceInput } from './inputs.ts';

export interface Backend {
  readonly ip: IpAddr;
  readonly port: Port;
  /** Stable over all sets: the same address, port and protocol have the same id. */
  readonly id: number;
  readonly weight: number;
  /** False for one that terminates and serves only because nothing better is left. */
  readonly active: boolean;
}

/** Immutable and named by content; slot index = position in `backends`, then in `draining`. */
export interface BackendSet {
  readonly id: bigint;
  readonly protocol: PortProtocol;
  /** Those that new flows are given to: the count of a frontend. */
  readonly backends: readonly Backend[];
  /** In slots behind the count: who has one keeps it. */
  readonly draining: readonly Backend[];
}

/** An endpoint as backend of one port, whatever its state. */
export interface Candidate {
  readonly ip: IpAddr;
  readonly port: Port;
  readonly state: BackendState;
  readonly weight: number;
  readonly endpoint: SliceEndpoint;
}

const defaultWeight = 100;

/** Of one address in two slices the better state counts. */
export function candidatesOf(port: ServicePort, family: IpFamily, slices: readonly SliceInput[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const slice of slices) {
    for (const target of slice.ports) {
      if (target.name !== port.name || target.protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const state = backendState(endpoint);
        for (const ip of endpoint.addresses) {
          if (ipFamily(ip) !== family) continue;
          const at = `${ip} ${target.port}`;
          const other = found.get(at);
          if (other !== undefined && stateRank(other.state) <= stateRank(state)) continue;
          found.set(at, { ip, port: target.port, state, weight: endpoint.weight ?? defaultWeight, endpoint });
        }
      }
    }
  }
  return [...found.values()].sort((a, b) => compareIp(a.ip, b.ip) || a.port - b.port);
}

/** Where a client is, as far as backends care. */
export interface Place {
  readonly node: string;
  readonly zone: string;
}

/** A backend without a node, of a Service without selector, is local everywhere. */
export const localOf = (candidates: readonly Candidate[], node: string): Candidate[] =>
  candidates.filter((c) => c.endpoint.node === '' || c.endpoint.node === node);

/** Hints count only if every backend has some and one of them is for here: a part of the backends never takes the traffic of all. */
export function nearOf(candidates: readonly Candidate[], near: 'any' | 'zone' | 'node', at: Place): Candidate[] {
  const serving = selectServing(candidates);
  if (near === 'node') {
    const here = hinted(serving, (e) => e.hintNodes, at.node);
    if (here !== undefined) return here;
  }
  return (near === 'any' ? undefined : hinted(serving, (e) => e.hintZones, at.zone)) ?? serving;
}

function hinted(list: readonly Candidate[], hints: (e: SliceEndpoint) => readonly string[], name: string): Candidate[] | undefined {
  if (name === '' || list.some((c) => hints(c.endpoint).length === 0)) return undefined;
  const here = list.filter((c) => hints(c.endpoint).includes(name));
  return here.length === 0 ? undefined : here;
}

export const backendIdOf = (ip: IpAddr, port: number, protocol: PortProtocol): number =>
  hash32(`${ip} ${port} ${protocolNumbers[protocol]}`);

/** `all`: of whom some may drain. */
export function createSet(protocol: PortProtocol, members: readonly Candidate[], all: readonly Candidate[] = []): BackendSet | undefined {
  const leaving = all.filter((c) => isDraining(c.state) && !members.includes(c));
  if (members.length + leaving.length === 0) return undefined;
  const backendOf = (c: Candidate): Backend => {
    return { ip: c.ip, port: c.port, id: backendIdOf(c.ip, c.port, protocol), weight: c.weight, active: c.state === 'active' };
  };
  const [backends, draining] = [members.map(backendOf), leaving.map(backendOf)];
  const text = backends.map((b) => `${b.ip} ${b.port} ${b.active ? 1 : 0}${b.weight === defaultWeight ? '' : ` *${b.weight}`}\n`);
  const rest = draining.map((b) => `- ${b.ip} ${b.port}\n`);
  return { id: hash64(`${protocol}\n`, text.join(''), rest.join('')), protocol, backends, draining };
}
