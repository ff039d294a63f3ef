// What load balancers outside the cluster ask a node: whether a Service with externalTrafficPolicy Local has backends here (its
// healthCheckNodePort), and whether the node serves at all (kube-proxy's healthz). Fed by wiring from blobs; restored with them at a start, so
// that the answers do not wait for an operator.
import { HealthCheck } from '@axoneme/proto';
import type { Clock, Log } from '@axoneme/std';
import { createHttpPorts, type HttpAnswer, type HttpAt } from './http-ports.ts';

export const healthPrefix = 'health/';

export interface HealthChecks {
  /** Artifact `health/<namespace>/<service>`; undefined: gone. */
  set(name: string, blob: Buffer | undefined): void;
  /** `address:port`, or empty. */
  healthz(address: string): void;
  /** Services whose port cannot be had, as `service <namespace>/<name>`, a bounded number. */
  components(): readonly { readonly name: string; readonly state: string; readonly reason: string }[];
  stop(): void;
}

const componentsMax = 32;
const healthzId = 'healthz';
const json = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' };

export function serviceAnswer(c: Pick<HealthCheck, 'namespace' | 'service' | 'localEndpoints'>): HttpAnswer {
  return {
    status: c.localEndpoints > 0 ? 200 : 503,
    headers: { ...json, 'x-load-balancing-endpoint-weight': String(c.localEndpoints) },
    body: JSON.stringify({ service: { namespace: c.namespace, name: c.service }, localEndpoints: c.localEndpoints }),
  };
}

/** Undefined for text that is no address and port. */
export function parseBind(text: string): HttpAt | undefined {
  const [, v6, v4 = '', port] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]*)):(\d{1,5})$/.exec(text) ?? [];
  return port === undefined || Number(port) > 65_535 ? undefined : { host: v6 ?? v4, port: Number(port) };
}

/** `serving`: why this node does not, or undefined. */
export function createHealthChecks(clock: Clock, log: Log, serving: () => string | undefined): HealthChecks {
  const ports = createHttpPorts(clock, log);
  let lastGood = clock.nowMs();
  const healthz = (path: string): HttpAnswer => {
    if (path !== '/healthz') return { status: 404, headers: json, body: '{}' };
    const now = clock.nowMs();
    const why = serving();
    if (why === undefined) lastGood = now;
    const times = { lastUpdated: new Date(lastGood).toISOString(), currentTime: new Date(now).toISOString() };
    return {
      status: why === undefined ? 200 : 503,
      headers: json,
      body: JSON.stringify(why === undefined ? times : { ...times, reason: why }),
    };
  };
  return {
    set(name, blob) {
      const check = blob === undefined ? undefined : HealthCheck.decode(blob);
      if (check === undefined) ports.set(name, undefined, () => serviceAnswer({ namespace: '', service: '', localEndpoints: 0 }));
      else ports.set(name, { host: '', port: check.port }, () => serviceAnswer(check));
    },
    healthz: (address) => ports.set(healthzId, parseBind(address), healthz),
    components: () =>
      [...ports.problems()].slice(0, componentsMax).map(([id, reason]) => ({
        name: id === healthzId ? 'healthz' : `service ${id.slice(healthPrefix.length)}`,
        state: 'degraded',
        reason: id === healthzId ? reason : `health check ${reason}`,
      })),
    stop: ports.stop,
  };
}
