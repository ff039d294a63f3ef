// Plain views of cluster objects shared by the engines and the operator: endpoints, nodes, namespaces. Data only.
import { type Brand, fail, type NodeName, ok, type Result } from '@axoneme/std';
import type { Cidr } from './cidr.ts';
import type { IdentityId } from './identity.ts';
import type { IpAddr } from './ip.ts';
import type { Labels } from './labels.ts';
import type { Port, PortProtocol } from './port.ts';

/** `namespace/name`. */
export type ObjectKey = Brand<string, 'ObjectKey'>;
export const objectKey = (namespace: string, name: string): ObjectKey => `${namespace}/${name}` as ObjectKey;

/** A container port with a name; `name` is lower case. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: Port;
}

/** A pod on a node. Without addresses it is bound but not yet started. */
export interface Endpoint {
  readonly key: ObjectKey;
  readonly uid: string;
  readonly node: NodeName;
  readonly identity: IdentityId;
  readonly addresses: readonly IpAddr[];
  readonly namedPorts: readonly NamedPort[];
}

export interface NodeInfo {
  readonly name: NodeName;
  /** Pod blocks of the node; the first address of each family's first block is the router address. */
  readonly podCidrs: readonly Cidr[];
  /** Addresses other nodes reach it at; the first of each family is the tunnel endpoint. */
  readonly addresses: readonly IpAddr[];
  readonly labels: Readonly<Record<string, string>>;
  /** Runs an API server: its addresses have identity 7 instead of 6. */
  readonly apiServer: boolean;
}

export interface NamespaceInfo {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface IdentityInfo {
  readonly id: IdentityId;
  readonly labels: Labels;
}

const nodeNameText = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export function parseNodeName(text: string): Result<NodeName> {
  if (nodeNameText.test(text)) return ok(text as NodeName);
  return fail({
    code: 'model/invalid-node-name',
    message: `"${text.slice(0, 64)}" is not a node name`,
    hint: 'lower case letters, digits, - and .',
  });
}
