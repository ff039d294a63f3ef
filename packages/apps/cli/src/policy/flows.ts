// Recorded flows (lines of `axoneme monitor -o json`) against a plan: which of them the change decides otherwise, and by which rule.
// Called by `policy plan --flows`.
import { type IpAddr, type IpFamily, ipFamily, parseIp, protocolNumbers } from '@axoneme/model';
import { type Decision, decisionAt, originText, type Passage, type Plan, type RuleId, trafficText } from '@axoneme/policy';
import { obj, str } from './documents.ts';

export interface FlippedFlow {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
  /** Lines that say the same. */
  readonly count: number;
  readonly allowed: boolean;
  /** The rule that decides now, or that decided before where none does now. */
  readonly rule: string;
}

export interface FlowReport {
  readonly flips: readonly FlippedFlow[];
  readonly read: number;
  /** Lines that are no flow, or whose ends are not in the input. */
  readonly unknown: number;
}

interface FlowKey {
  readonly from: string;
  readonly to: string;
  readonly family: IpFamily;
  readonly protocol: number;
  readonly port: number;
}

/** Finds the unit of the plan behind the text of one end. */
type Resolve = (end: string, node: string) => { readonly name: string; readonly ip: IpAddr; readonly port: number } | undefined;

export function flowsAgainst(plan: Plan, lines: Iterable<string>): FlowReport {
  const resolve = createResolver(plan);
  const distinct = new Map<string, { readonly key: FlowKey; count: number }>();
  let read = 0;
  let unknown = 0;
  for (const line of lines) {
    if (line.trim() === '') continue;
    read++;
    const key = keyOf(line, resolve);
    if (key === undefined) {
      unknown++;
      continue;
    }
    const text = JSON.stringify(key);
    const held = distinct.get(text);
    if (held === undefined) distinct.set(text, { key, count: 1 });
    else held.count++;
  }
  const flips = [...distinct.values()].flatMap(({ key, count }) => flipOf(plan, key, count));
  const place = (f: FlippedFlow): string => `${f.allowed ? 1 : 0} ${f.from} ${f.to} ${f.protocol} ${f.port}`;
  return { flips: flips.sort((a, b) => (place(a) < place(b) ? -1 : 1)), read, unknown };
}

function keyOf(line: string, resolve: Resolve): FlowKey | undefined {
  let flow: Readonly<Record<string, unknown>>;
  try {
    flow = obj(JSON.parse(line));
  } catch {
    return undefined;
  }
  const from = resolve(str(flow.source), str(flow.node));
  const to = resolve(str(flow.destination), str(flow.node));
  const protocol = protocolOf(str(flow.protocol));
  if (from === undefined || to === undefined || protocol === undefined) return undefined;
  const family = ipFamily(to.ip);
  // The recorded type is that of the packet that opened it: a request.
  const icmp = protocol === protocolNumbers.ICMP ? 8 : protocol === protocolNumbers.ICMPv6 ? 128 : 0;
  return { from: from.name, to: to.name, family, protocol, port: to.port === 0 ? icmp : to.port };
}

function protocolOf(text: string): number | undefined {
  const named = Object.entries(protocolNumbers).find(([name]) => name.toUpperCase() === text.toUpperCase())?.[1];
  return named ?? (/^[0-9]{1,3}$/.test(text) ? Number(text) : undefined);
}

/** `shop/web-7d9f (10.0.0.1:80)`, `host (192.168.0.1)`, `[2001:db8::1]:443`. */
function splitEnd(text: string): { readonly name: string; readonly ip: IpAddr; readonly port: number } | undefined {
  const named = /^(.*) \((.*)\)$/.exec(text);
  const address = named?.[2] ?? text;
  const bracketed = /^\[(.*)\]:([0-9]+)$/.exec(address);
  const plain = /^([0-9.]+):([0-9]+)$/.exec(address);
  const ip = parseIp(bracketed?.[1] ?? plain?.[1] ?? address);
  return ip.ok ? { name: named?.[1] ?? '', ip: ip.value, port: Number(bracketed?.[2] ?? plain?.[2] ?? 0) } : undefined;
}

function createResolver(plan: Plan): Resolve {
  const states = [plan.head.state, plan.base.state];
  const byAddress = new Map<IpAddr, string>();
  const workloads = new Set<string>();
  for (const s of states) {
    for (const n of s.nodes) for (const a of n.addresses) byAddress.set(a, `Node ${n.name}`);
    for (const p of s.pods) {
      workloads.add(p.name);
      for (const a of p.addresses) byAddress.set(a, p.name);
    }
  }
  const byPath = Map.groupBy(workloads, (w) => w.slice(w.indexOf(' ') + 1));
  const nodesKnown = states.some((s) => s.nodes.length > 0);
  return (text, node) => {
    const end = splitEnd(text);
    if (end === undefined) return undefined;
    const name = unitName(end.name, end.ip);
    return name === undefined ? undefined : { ...end, name };
    function unitName(said: string, ip: IpAddr): string | undefined {
      if (said === 'host') return nodesKnown ? `own Node ${node}` : 'own node';
      if (said.includes('/')) return workloadOf(said, byPath) ?? byAddress.get(ip);
      const owner = byAddress.get(ip);
      if (owner !== undefined) return owner;
      if (said === 'remote-node' || said === 'kube-apiserver') return nodesKnown ? undefined : 'other nodes';
      return said === '' || said.startsWith('world') ? plan.pieceOf(ip) : undefined;
    }
  };
}

/** A pod by its own name, else the workload whose pods are called so: the longest name that it begins with. */
function workloadOf(path: string, byPath: ReadonlyMap<string, readonly string[]>): string | undefined {
  for (let end = path.length; end > path.indexOf('/') + 1; end = path.lastIndexOf('-', end - 1)) {
    const found = byPath.get(path.slice(0, end));
    if (found !== undefined) return found[0];
  }
  return undefined;
}

function flipOf(plan: Plan, key: FlowKey, count: number): FlippedFlow[] {
  const before = plan.passage('base', key.from, key.to, key.family);
  const after = plan.passage('head', key.from, key.to, key.family);
  if (before === undefined || after === undefined) return [];
  const [was, is] = [decide(before, key), decide(after, key)];
  if (was.allowed === is.allowed) return [];
  const now = ruleOf(plan, 'head', is);
  const { from, to, protocol, port } = key;
  return [{ from, to, protocol, port, count, allowed: is.allowed, rule: now === '' ? ruleOf(plan, 'base', was) : now }];
}

/** The half that decides: what denies, else the rule of the destination. */
function decide(p: Passage, key: FlowKey): Decision {
  const [out, inward] = [decisionAt(p.egress, key.protocol, key.port), decisionAt(p.ingress, key.protocol, key.port)];
  if (!out.allowed) return out;
  return !inward.allowed || inward.ruleId !== 0 ? inward : out;
}

function ruleOf(plan: Plan, state: 'base' | 'head', d: Decision): string {
  const origin = d.ruleId === (0 as RuleId) ? undefined : plan[state].compiler.origin(d.ruleId);
  return origin === undefined ? '' : originText(origin);
}

export const flowText = (f: FlippedFlow): string =>
  `${f.from} -> ${f.to} ${trafficText(f.protocol, f.port)}${f.count === 1 ? '' : ` (${f.count} flows)`}${f.rule === '' ? '' : `  ${f.rule}`}`;
