// Ports of NetworkPolicy → port matches. Stricter than those of Cilium policies, as the Kubernetes API server is. Called by the NetworkPolicy parser.
import { protocolNumbers } from '@axoneme/model';
import type { IssueList } from './issues.ts';
import { checkFields, isPresent, type JsonObject, readItem, readList, readString, shown } from './read.ts';
import { allTraffic, type PortMatch } from './rules.ts';

const protocols: readonly string[] = ['TCP', 'UDP', 'SCTP'];
const nameLengthMax = 15;
const nameText = /^[a-z0-9]+(-[a-z0-9]+)*$/;
export const portMax = 65_535;

/** Absent and empty: every protocol and port. */
export function parseKubernetesPorts(issues: IssueList, path: string, value: unknown): PortMatch[] {
  const list = readList(issues, path, value) ?? [];
  if (list.length === 0) return [allTraffic];
  return list.flatMap((item, i) => parsePort(issues, `${path}[${i}]`, item));
}

function parsePort(issues: IssueList, path: string, item: unknown): PortMatch[] {
  const raw = readItem(issues, path, item) ?? {};
  checkFields(issues, path, raw, ['protocol', 'port', 'endPort']);
  const protocol = readProtocol(issues, `${path}.protocol`, raw.protocol);
  if (protocol === undefined) return [];
  if (isPresent(raw.endPort) && typeof raw.port !== 'number') {
    issues.error(`${path}.endPort`, 'needs a port that is a number', 'a range goes from port to endPort');
    return [];
  }
  if (!isPresent(raw.port)) return [{ kind: 'range', protocol, first: 0, last: portMax }];
  if (typeof raw.port === 'string') {
    const name = readPortName(issues, `${path}.port`, raw.port);
    return name === undefined ? [] : [{ kind: 'named', protocol, name }];
  }
  return readRange(issues, path, raw, protocol);
}

/** TCP if absent; undefined if unknown (then reported). */
export function readProtocol(issues: IssueList, path: string, value: unknown): number | undefined {
  const text = readString(issues, path, value) ?? (isPresent(value) ? '' : 'TCP');
  if (protocols.includes(text)) return protocolNumbers[text as 'TCP'];
  if (text !== '' || value === '') issues.error(path, `unknown protocol ${shown(text)}`, 'use TCP, UDP or SCTP');
  return undefined;
}

export function readPortName(issues: IssueList, path: string, text: string): string | undefined {
  if (text.length <= nameLengthMax && nameText.test(text) && /[a-z]/.test(text)) return text;
  const number = /^[0-9]+$/.test(text);
  issues.error(
    path,
    number ? `${shown(text)} is text, not a number` : `${shown(text)} is not the name of a port`,
    number ? 'remove the quotes' : 'at most 15 of a-z 0-9 -, with a letter',
  );
  return undefined;
}

function readRange(issues: IssueList, path: string, raw: JsonObject, protocol: number): PortMatch[] {
  const first = readPortNumber(issues, `${path}.port`, raw.port);
  const last = isPresent(raw.endPort) ? readPortNumber(issues, `${path}.endPort`, raw.endPort) : first;
  if (first === undefined || last === undefined) return [];
  if (last >= first) return [{ kind: 'range', protocol, first, last }];
  issues.error(`${path}.endPort`, `endPort ${last} is below port ${first}`, 'a range goes from port to endPort');
  return [];
}

export function readPortNumber(issues: IssueList, path: string, value: unknown): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= portMax) return value;
  issues.error(path, isPresent(value) ? `${shown(value)} is not a port` : 'the port is missing', `a port is a number from 1 to ${portMax}`);
  return undefined;
}
