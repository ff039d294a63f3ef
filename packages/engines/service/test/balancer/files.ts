// State files for tests, as they come out of a YAML parser.
import { type BalancerSpec, readBalancerSpec } from '../../src/index.ts';

export const web = (more: object = {}): object => ({
  name: 'web',
  vips: [
    { address: '192.0.2.10', port: 80 },
    { address: '2001:db8::10', port: 80 },
    { address: '192.0.2.10', port: 53, protocol: 'UDP' },
  ],
  backends: [
    { address: '10.0.0.1', port: 8080 },
    { address: '10.0.0.2', port: 8080, weight: 50 },
    { address: '10.0.0.3', port: 8081 },
    { address: 'fd00::1', port: 8080 },
  ],
  health: { type: 'http', path: '/ready', codes: [200, '301-399'] },
  ...more,
});

export const file = (...services: object[]): object => ({ services });

export function spec(...services: object[]): BalancerSpec {
  const read = readBalancerSpec(file(...services));
  if (!read.ok) throw new Error(read.problems.map((p) => `${p.at}: ${p.message}`).join('\n'));
  return read.spec;
}

/** `at: message; fix` of everything that is wrong. */
export function wrong(value: unknown): string[] {
  const read = readBalancerSpec(value);
  return read.ok ? [] : read.problems.map((p) => `${p.at}: ${p.message}; ${p.fix}`);
}
