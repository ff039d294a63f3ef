// What the REST layer works with. Made by ../server.ts.
import type { Clock, Log } from '@axoneme/std';
import type { CustomRuntime } from '../crd/runtime.ts';
import type { Allocator } from '../kinds/allocate.ts';
import type { Registry } from '../registry.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { AdmissionRequest, Gvr, KubeObject } from '../types.ts';

export interface Admission {
  /** Runs mutating hooks and webhooks; returns the object to go on with. */
  mutate(r: AdmissionRequest, warnings: string[]): Promise<KubeObject | undefined>;
  /** True when somebody may want to see this resource: the final object is then made before asking. */
  concerns(r: Gvr): boolean;
  validate(r: AdmissionRequest, warnings: string[]): Promise<void>;
}

export interface RestEnv {
  readonly store: MemoryStore;
  readonly registry: Registry;
  readonly allocator: Allocator;
  readonly custom: CustomRuntime;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly log: Log;
  readonly uuid: () => string;
  readonly podGracefulDeletion: boolean;
}
