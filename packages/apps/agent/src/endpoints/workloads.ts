// Which identity the operator gave to which pod of this node, and whether it is audited: the `workload/<namespace>/<pod>` artifacts. Called by wiring (changes) and
// the endpoint manager (questions).
import { Workload } from '@axoneme/proto';

export interface PodName {
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
}

interface Known {
  readonly uid: string;
  readonly identity: number;
  readonly audit: boolean;
}

export interface Workloads {
  /** `blob` undefined: the operator took it back. */
  set(name: string, blob: Buffer | undefined): void;
  /** Undefined when the operator did not name this pod (yet), or means another pod of the same name. */
  identityOf(pod: PodName): number | undefined;
  /** Whether what policy would drop of this pod passes. */
  audited(pod: PodName): boolean;
  /** Resolves with the identity, or undefined after `timeoutMs`. */
  wait(pod: PodName, timeoutMs: number): Promise<number | undefined>;
  onChange(listener: (namespace: string, pod: string) => void): void;
}

export const workloadPrefix = 'workload/';

export function createWorkloads(): Workloads {
  const known = new Map<string, Known>();
  const listeners = new Set<(namespace: string, pod: string) => void>();

  const find = ({ namespace, pod, podUid }: PodName): Known | undefined => {
    const w = known.get(`${namespace}/${pod}`);
    // runtimes that do not pass the UID are believed by name
    return w && (podUid === '' || w.uid === '' || w.uid === podUid) ? w : undefined;
  };
  const identityOf: Workloads['identityOf'] = (pod) => find(pod)?.identity;
  return {
    set(name, blob) {
      const [namespace = '', pod = ''] = name.slice(workloadPrefix.length).split('/');
      if (blob === undefined) known.delete(`${namespace}/${pod}`);
      else {
        const w = Workload.decode(blob);
        known.set(`${namespace}/${pod}`, { uid: w.podUid, identity: w.identity, audit: w.audit });
      }
      for (const l of listeners) l(namespace, pod);
    },
    identityOf,
    audited: (pod) => find(pod)?.audit ?? false,
    wait(pod, timeoutMs) {
      const now = identityOf(pod);
      if (now !== undefined || timeoutMs <= 0) return Promise.resolve(now);
      return new Promise((resolve) => {
        const finish = (identity: number | undefined): void => {
          clearTimeout(timer);
          listeners.delete(check);
          resolve(identity);
        };
        const check = (): void => {
          const identity = identityOf(pod);
          if (identity !== undefined) finish(identity);
        };
        const timer = setTimeout(() => finish(undefined), timeoutMs);
        listeners.add(check);
      });
    },
    onChange: (listener) => void listeners.add(listener),
  };
}
