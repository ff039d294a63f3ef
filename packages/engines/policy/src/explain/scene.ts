// Both ends of a connection and the cluster around them, as the reference evaluator wants to see it. Called by verdict.ts, flip.ts and the CLI.
import { type IpAddr, type IpFamily, ipFamily, type Labels, type NamedPort, noLabels } from '@axoneme/model';
import type { JudgeNode, JudgePod, World } from '../judge.ts';
import type { Direction, Rule } from '../rules.ts';
import type { PolicyConfig } from '../subjects.ts';

export type SceneNode = JudgeNode;

/** A pod's addresses may be made up where none runs yet. `local`: the node the other end runs on. */
export type SceneEnd =
  | {
      readonly kind: 'pod';
      readonly name: string;
      readonly labels: Labels;
      readonly namedPorts: readonly NamedPort[];
      readonly addresses: readonly IpAddr[];
      /** Name of its node; undefined: not placed. */
      readonly node?: string | undefined;
    }
  | { readonly kind: 'node'; readonly name: string; readonly node: SceneNode; readonly local: boolean }
  | { readonly kind: 'outside'; readonly name: string; readonly addresses: readonly IpAddr[] };

export interface Scene {
  /** Bound: without references. */
  readonly rules: readonly Rule[];
  readonly nodes: readonly SceneNode[];
  readonly config: PolicyConfig;
}

/** One packet that opens a connection. */
export interface Question {
  readonly from: SceneEnd;
  readonly to: SceneEnd;
  readonly protocol: number;
  /** Destination port or ICMP type. */
  readonly port: number;
  readonly family: IpFamily;
}

export const addressesOfEnd = (e: SceneEnd): readonly IpAddr[] => (e.kind === 'node' ? e.node.addresses : e.addresses);
export const addressOfEnd = (e: SceneEnd, family: IpFamily): IpAddr | undefined => addressesOfEnd(e).find((a) => ipFamily(a) === family);

/** Families both ends have an address of. */
export const familiesOf = (from: SceneEnd, to: SceneEnd): IpFamily[] =>
  ([4, 6] as const).filter((f) => addressOfEnd(from, f) !== undefined && addressOfEnd(to, f) !== undefined);

export const podOfEnd = (e: SceneEnd): JudgePod | undefined =>
  e.kind === 'pod' ? { addresses: e.addresses, labels: e.labels, namedPorts: e.namedPorts } : undefined;

const nowhere: SceneNode = { name: '', labels: noLabels, addresses: [], apiServer: false };

/** The world as the subject of one direction sees it. */
export function worldOf(scene: Scene, subject: SceneEnd, peer: SceneEnd): World {
  const host = hostOf(scene, subject, peer);
  const others = scene.nodes.filter((n) => n.name !== host.name);
  const more = peer.kind === 'node' && !peer.local && peer.node.name === '' ? [peer.node] : [];
  return { pods: [podOfEnd(subject), podOfEnd(peer)].filter((p) => p !== undefined), host, nodes: [...more, ...others] };
}

function hostOf(scene: Scene, subject: SceneEnd, peer: SceneEnd): SceneNode {
  if (subject.kind === 'node') return subject.node;
  if (peer.kind === 'node' && peer.local) return peer.node;
  const name = subject.kind === 'pod' ? subject.node : undefined;
  return scene.nodes.find((n) => n.name === name) ?? nowhere;
}

/** Both directions of a question: who is enforced, and who is at the other end. */
export const hopsOf = (q: Question): readonly { readonly direction: Direction; readonly subject: SceneEnd; readonly peer: SceneEnd }[] => [
  { direction: 'egress', subject: q.from, peer: q.to },
  { direction: 'ingress', subject: q.to, peer: q.from },
];
