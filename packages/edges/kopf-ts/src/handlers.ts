// Vocabulary of handlers: what a user of this package writes. No behaviour here.
import { AppError, type Log } from '@axoneme/std';
import type { Change } from './reflector.ts';
import type { KubeObject, Resource } from './resource.ts';

/** Try again after `delayMs`. */
export class TemporaryError extends AppError {
  readonly delayMs: number;
  constructor(message: string, delayMs: number, cause?: unknown) {
    super({ code: 'kopf/temporary', message, retry: 'later', cause });
    this.delayMs = delayMs;
  }
}

/** Do not try again until the object changes. */
export class PermanentError extends AppError {
  constructor(message: string, cause?: unknown) {
    super({ code: 'kopf/permanent', message, retry: 'never', cause });
  }
}

export type CauseKind = 'create' | 'update' | 'delete' | 'resume';

/** Collects what handlers want written; sent once at the end of the cycle, and only if it changes something. */
export interface PatchDraft {
  /** Merged into `status` (null removes a key). */
  status(part: Readonly<Record<string, unknown>>): void;
  /** Merged into annotations. */
  annotations(part: Readonly<Record<string, string | null>>): void;
}

export interface HandlerContext<T extends KubeObject = KubeObject> {
  readonly object: T;
  readonly key: string;
  readonly cause: CauseKind;
  /** 0 for the first attempt. */
  readonly attempt: number;
  readonly patch: PatchDraft;
  readonly log: Log;
  /** Aborts when the operator stops. */
  readonly signal: AbortSignal;
}

/** Must be idempotent: it runs again after a crash between its end and the write of its success. */
export type Handler<T extends KubeObject = KubeObject> = (c: HandlerContext<T>) => void | Promise<void>;

export interface HandlerOptions {
  /** Attempts before the handler counts as failed; unlimited by default. */
  readonly attemptsMax?: number;
  /** First delay after an unexpected exception; doubles up to 60 s. */
  readonly backoffMs?: number;
}

export interface TimerOptions {
  readonly intervalMs: number;
  /** Before the first run; the interval by default. */
  readonly initialDelayMs?: number;
}

/** Runs for the life of one object; should return soon after `signal` aborts (object deleted or operator stopped). */
export type Daemon<T extends KubeObject = KubeObject> = (c: Omit<HandlerContext<T>, 'cause' | 'attempt' | 'patch'>) => Promise<void>;

export interface Registered {
  readonly id: string;
  readonly kind: CauseKind | 'field';
  readonly path?: readonly string[];
  readonly run: Handler;
  readonly options: HandlerOptions;
}

export interface OnRegistry {
  create<T extends KubeObject>(r: Resource, id: string, run: Handler<T>, o?: HandlerOptions): void;
  update<T extends KubeObject>(r: Resource, id: string, run: Handler<T>, o?: HandlerOptions): void;
  /** Puts a finalizer on the object, removed when all delete handlers have succeeded. */
  delete<T extends KubeObject>(r: Resource, id: string, run: Handler<T>, o?: HandlerOptions): void;
  /** Once per process for every object that was handled before. */
  resume<T extends KubeObject>(r: Resource, id: string, run: Handler<T>, o?: HandlerOptions): void;
  /** When the value at a dotted path (`spec.ingress`) appears or changes. */
  field<T extends KubeObject>(r: Resource, path: string, id: string, run: Handler<T>, o?: HandlerOptions): void;
  /** Every change of the local copy, for any resource; writes nothing. Synchronous: note it and return. */
  event<T extends KubeObject>(r: Resource, run: (c: Change<T>) => void): void;
}
