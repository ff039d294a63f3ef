// Public shapes of the embedded API server: what the kubelet, the controllers and `sandbox up` code against.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Log } from '@axoneme/std';

/** Any JSON value as it travels to and from clients. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [k: string]: Json | undefined };

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string | null;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: unknown[];
}

/** A Kubernetes object. Objects handed out by the store are frozen in spirit: copy before changing. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  /** The shape below metadata belongs to the kind; callers narrow it. */
  [field: string]: unknown;
}

/** Which collection: `{group: '', version: 'v1', resource: 'pods'}`. */
export interface Gvr {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
}

export interface ListOptions {
  /** Namespace; absent or empty means all. */
  readonly ns?: string;
  /** Kubernetes selector text, e.g. `app=web,tier in (a,b)`. */
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface WriteOptions {
  /** Recorded in managedFields; default `axoneme-sandbox`. */
  readonly fieldManager?: string;
  readonly subresource?: string;
  readonly dryRun?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
}

export type PatchKind = 'merge' | 'strategic' | 'json' | 'apply';

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  /** The object before the change; absent for ADDED. */
  readonly previous?: KubeObject;
  readonly resourceVersion: number;
}

/**
 * The in-process client. Every write takes the same path as HTTP (defaulting, validation, admission, managedFields), with the
 * admin's rights. Failures are `StatusError` with `code` and `reason` as a client would see them.
 */
export interface Store {
  /** undefined when absent. Synchronous: the store is memory. */
  get(gvr: Gvr, ns: string, name: string): KubeObject | undefined;
  list(gvr: Gvr, opts?: ListOptions): KubeObject[];
  create(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  /** Replaces the object; checks resourceVersion when the object carries one. */
  update(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  updateStatus(gvr: Gvr, obj: KubeObject, opts?: WriteOptions): Promise<KubeObject>;
  patch(gvr: Gvr, ns: string, name: string, kind: PatchKind, body: unknown, opts?: WriteOptions): Promise<KubeObject>;
  delete(gvr: Gvr, ns: string, name: string, opts?: DeleteOptions): Promise<KubeObject>;
  /**
   * Calls back for every change after now; with `initial` first once per present object (as ADDED). Events of one resource come in
   * order and outside the writer's stack. Returns a function that ends the watch. The resource need not exist yet (CRDs).
   */
  watch(gvr: Gvr, listener: (e: StoreEvent) => void, opts?: { readonly initial?: boolean }): () => void;
  /** The newest resourceVersion handed out. */
  resourceVersion(): number;
  /** Every served resource that can be listed and deleted (for garbage collection and namespace deletion). */
  resources(): readonly ServedResource[];
}

export interface ServedResource {
  readonly gvr: Gvr;
  readonly kind: string;
  readonly namespaced: boolean;
}

export type PodStreamKind = 'exec' | 'attach' | 'portforward';

/** A WebSocket or SPDY upgrade on a pod; the handler owns the socket from here. */
export type PodStreamHandler = (req: IncomingMessage, socket: Duplex, head: Buffer, pod: KubeObject) => void;
/** `GET pods/x/log` and the like; the handler writes the response. Query is on `req.url`. */
export type PodRequestHandler = (req: IncomingMessage, res: ServerResponse, pod: KubeObject) => void | Promise<void>;
/** `services|pods|nodes/x/proxy/*`; `path` starts with '/'. */
export type ProxyHandler = (
  req: IncomingMessage,
  res: ServerResponse,
  target: { readonly resource: string; readonly object: KubeObject; readonly port: string; readonly path: string },
) => void | Promise<void>;

/** Opens a connection to a port of a Service, for webhooks. */
export type ServiceDial = (ns: string, name: string, port: number) => Promise<Duplex>;

export interface UserInfo {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly gvr: Gvr;
  readonly kind: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly user: UserInfo;
  readonly dryRun: boolean;
}

/** A returned object replaces the request's object (mutation); a thrown StatusError denies. */
export type AdmissionHook = (
  r: AdmissionRequest,
) =>
  | undefined
  | KubeObject
  | { readonly warnings: readonly string[] }
  | Promise<undefined | KubeObject | { readonly warnings: readonly string[] }>;

export interface ApiServerDeps {
  readonly log?: Log;
  readonly clock?: Clock;
  /** Random bytes as a port, so that a simulation can replay. */
  readonly uuid?: () => string;
}

export interface ApiServerConfig {
  /** Extra listen addresses beside 127.0.0.1 (e.g. the address pods see); each is put into the certificate. */
  readonly addresses?: readonly string[];
  /** 0 (default) = any free port. */
  readonly port?: number;
  readonly serviceCidrV4?: string;
  readonly serviceCidrV6?: string;
  readonly podCidrV4?: string;
  readonly nodePortRange?: readonly [number, number];
  /** Names and addresses for the certificate beside the defaults (kubernetes, kubernetes.default.svc, localhost, first ClusterIPs). */
  readonly certificateSans?: readonly string[];
  readonly clusterName?: string;
  readonly adminToken?: string;
  /** Events kept per resource for watches that resume; default 4096. */
  readonly watchHistoryMax?: number;
  /** A pod without node that is deleted goes at once; one with a node waits for `gracePeriodSeconds: 0` from its kubelet. Default true. */
  readonly podGracefulDeletion?: boolean;
}

export interface ApiServer {
  /** `https://127.0.0.1:port`; valid after start. */
  readonly url: string;
  readonly port: number;
  readonly caPem: string;
  readonly adminToken: string;
  readonly store: Store;
  /** kubeconfig text for the admin; `server` replaces the URL. */
  kubeconfig(opts?: { readonly server?: string; readonly token?: string }): string;
  /** Resolves when listening; ends when `signal` aborts. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves when every socket is closed, after the signal was aborted. */
  stopped(): Promise<void>;
  /** Listens on one more address, also after start (e.g. one that exists only once the fabric is up). Rejects if it can't be bound. */
  listen(address: string, port: number): Promise<void>;
  /** Accepts sockets from a server made elsewhere (e.g. a listener inside another network namespace). */
  accept(socket: Duplex): void;
  onPodStream(kind: PodStreamKind, handler: PodStreamHandler): void;
  onPodLog(handler: PodRequestHandler): void;
  onProxy(handler: ProxyHandler): void;
  /** How webhooks behind Services are reached; by default straight to a ready endpoint. */
  onServiceDial(dial: ServiceDial): void;
  onAdmission(phase: 'mutating' | 'validating', hook: AdmissionHook): void;
  /** A bearer token for a service account, as TokenRequest would give. */
  issueToken(
    ns: string,
    serviceAccount: string,
    opts?: {
      readonly audiences?: readonly string[];
      readonly expirationSeconds?: number;
      readonly pod?: KubeObject;
      readonly node?: KubeObject;
    },
  ): { readonly token: string; readonly expiresAtMs: number };
}
