// Words that the service commands share.
import { addressText, flagNames, LbFlag } from '@axoneme/datapath';
import type { ServiceFrontend, ServiceState } from '@axoneme/proto';
import { AppError } from '@axoneme/std';

export const socketText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
export const rowSocket = (addr: Uint8Array, port: number, family: number): string => socketText(addressText(addr, family) ?? '', port);

/** `0.0.0.0:30080/TCP`; what no port matches has none. */
export const frontendText = (f: Pick<ServiceFrontend, 'address' | 'port' | 'protocol'>): string =>
  f.port === 0 ? `${f.address} (other ports)` : `${socketText(f.address, f.port)}/${f.protocol}`;

/** `camelCase` → `camel case` of the bits that say more than the kind. */
export function flagTexts(flags: number): string[] {
  const plain = ['nodePort', 'loadBalancer', 'externalIp', 'hostPort', 'localRedirect', 'external'];
  return flagNames(flags, LbFlag)
    .filter((n) => !plain.includes(n))
    .map((n) => n.replaceAll(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`));
}

export const stateTexts = (states: ServiceState['states']): string =>
  Object.entries(states)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([state, n]) => `${n} ${state}`)
    .join(', ');

export function parseServiceName(text: string, inside: string): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = '', ...more] = text.includes('/') ? text.split('/') : [inside, text];
  if (namespace !== '' && name !== '' && more.length === 0) return { namespace, name };
  throw new AppError({ code: 'cli/usage', message: `"${text}" is no Service`, hint: 'namespace/name' });
}
