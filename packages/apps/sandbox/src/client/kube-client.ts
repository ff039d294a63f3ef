// The port through which kubelet, controllers and DNS see a cluster. Two implementations: the embedded store in process, and HTTPS to
// any API server.
import type { DeleteOptions, Gvr, KubeObject, ListOptions, PatchKind, ServedResource, WriteOptions } from '../apiserver/types.ts';

export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface WatchHandlers {
  readonly onEvent: (type: WatchEventType, object: KubeObject) => void;
  /** Once, after every object present at the start was reported. */
  readonly onSynced?: () => void;
}

export interface TokenRequest {
  readonly audiences?: readonly string[];
  readonly expirationSeconds?: number;
  readonly pod?: KubeObject;
  readonly node?: KubeObject;
}

export interface KubeClient {
  get(gvr: Gvr, ns: string, name: string): Promise<KubeObject | undefined>;
  list(gvr: Gvr, opts?: ListOptions): Promise<KubeObject[]>;
  create(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  update(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  updateStatus(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  patch(gvr: Gvr, ns: string, name: string, kind: PatchKind, body: unknown, opts?: WriteOptions): Promise<KubeObject>;
  delete(gvr: Gvr, ns: string, name: string, opts?: DeleteOptions): Promise<void>;
  /** Binds a pod to a node, as a scheduler does. */
  bind(ns: string, pod: string, node: string): Promise<void>;
  /** Reports every present object, then every change, surviving disconnects. Returns a function that ends it. */
  watch(gvr: Gvr, handlers: WatchHandlers): () => void;
  /** Everything that can be listed and deleted. */
  resources(): Promise<readonly ServedResource[]>;
  token(ns: string, serviceAccount: string, request: TokenRequest): Promise<{ readonly token: string; readonly expiresAtMs: number }>;
}

interface HttpFailure {
  readonly status?: unknown;
  readonly reason?: unknown;
}

const failureOf = (e: unknown): HttpFailure => (e !== null && typeof e === 'object' ? (e as HttpFailure) : {});

export const isNotFound = (e: unknown): boolean => failureOf(e).status === 404;
export const isConflict = (e: unknown): boolean => failureOf(e).status === 409;
export const isAlreadyExists = (e: unknown): boolean => failureOf(e).status === 409 && failureOf(e).reason === 'AlreadyExists';

/** Runs a write and treats "not there" as done. */
export async function ignoreNotFound<T>(write: Promise<T>): Promise<T | undefined> {
  try {
    return await write;
  } catch (e) {
    if (isNotFound(e)) return undefined;
    throw e;
  }
}

/** Runs a create and treats "already there" as done. */
export async function ignoreExists<T>(write: Promise<T>): Promise<T | undefined> {
  try {
    return await write;
  } catch (e) {
    if (isAlreadyExists(e)) return undefined;
    throw e;
  }
}
