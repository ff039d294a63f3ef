// Operator and agent on loopback with real TLS, for the suites of this package. The agent keeps artifacts in a map.

import { type Ca, clientRoleOf, clientSpiffeUri, createCa, issueClient, issueServer, nodeIdentityOf, nodeSpiffeUri } from '@axoneme/pki';
import { type ArtifactBody, artifactDigest, createHeldDigest, digestToBytes, type Hello } from '@axoneme/proto';
import { type Digest, type NodeName, ok, type Result, silentLog, systemClock } from '@axoneme/std';
import {
  type AckBody,
  type AdminHandlers,
  type ClientTls,
  createNodeServer,
  createSyncClient,
  type Freshness,
  type NodeServer,
  type NodeServerConfig,
  type NodeServerDeps,
  operatorServerName,
  type ReceivedCommit,
  type SyncClient,
  type SyncClientConfig,
  type SyncClientDeps,
  syncClientDefaults,
} from '../src/index.ts';

export const cluster = 'c1';
export const name = (n: string): NodeName => n as NodeName;

export async function until(condition: () => boolean, what: string, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${what}`);
    await new Promise((r) => setTimeout(r, 2));
  }
}

/** Artifacts by name, newest version; what the operator would have compiled. */
export class Store {
  private readonly held = new Map<string, { readonly body: ArtifactBody; readonly digest: Digest }>();
  put(artifact: string, text: string | Buffer, table = 'policy'): Digest {
    const body = { table, keys: Buffer.from(artifact), values: Buffer.from(text), blob: Buffer.alloc(0) };
    const digest = artifactDigest(body);
    this.held.set(artifact, { body, digest });
    return digest;
  }
  desired(...names: string[]): Map<string, Digest> {
    return new Map(names.map((n) => [n, this.held.get(n)?.digest as Digest]));
  }
  source = (artifact: string, digest: Digest): ArtifactBody | undefined => {
    const a = this.held.get(artifact);
    return a?.digest === digest ? a.body : undefined;
  };
}

export interface World {
  readonly ca: Ca;
  readonly stop: AbortController;
  nodeTls(node: string): Promise<ClientTls>;
  adminTls(): Promise<ClientTls>;
  operator(store: Store, o?: OperatorOptions): Promise<NodeServer>;
}

export interface OperatorOptions {
  readonly freshness?: () => Freshness;
  readonly deps?: Partial<NodeServerDeps>;
  readonly config?: Partial<NodeServerConfig>;
  readonly signal?: AbortSignal;
  readonly port?: number;
}

export const unusedAdmin: AdminHandlers = {
  getStatus: () => ({
    operatorId: 'op',
    leader: true,
    revision: 1,
    epoch: 1,
    nodes: [],
    components: [],
    policies: 0,
    identities: 0,
    endpoints: 0,
    services: 0,
  }),
  listIdentities: () => ({ identities: [] }),
  listEndpoints: () => ({ endpoints: [] }),
  listPolicies: () => ({ policies: [] }),
  async *watchPolicy() {},
  async *listServices() {},
  async *listTable() {},
  async *monitor() {},
};

export async function createWorld(): Promise<World> {
  const ca = await createCa({ name: 'test', days: 1 });
  const stop = new AbortController();
  const server = await issueServer(ca, { dnsNames: [operatorServerName] });
  const client = async (uri: string): Promise<ClientTls> => ({ caPem: ca.certPem, ...(await issueClient(ca, { commonName: 'x', uri })) });
  return {
    ca,
    stop,
    nodeTls: (node) => client(nodeSpiffeUri(cluster, node)),
    adminTls: () => client(clientSpiffeUri(cluster, 'admin')),
    async operator(store, o = {}) {
      const deps: NodeServerDeps = {
        tls: { ...server, caPem: ca.certPem },
        nodeOf: (peer): Result<NodeName> => {
          const id = nodeIdentityOf(peer);
          return id.ok ? ok(id.value.node) : id;
        },
        isAdmin: (peer) => clientRoleOf(peer, cluster) === 'admin',
        artifacts: store.source,
        freshness: o.freshness ?? (() => ({ epoch: 1, leader: true, inputAgeMs: { pods: 0 } })),
        events: {},
        report: () => undefined,
        sign: async () => ({ certificatePem: '', caPem: '', notAfterUnixMs: 0 }),
        admin: unusedAdmin,
        clock: systemClock,
        log: silentLog,
        ...o.deps,
      };
      const s = createNodeServer(deps, {
        host: '127.0.0.1',
        ports: { node: o.port ?? 0, bootstrap: 0, admin: 0 },
        operatorId: 'op',
        ...o.config,
        hub: { heartbeatMs: 100, quietBeatsMax: 50, ...o.config?.hub },
      });
      await s.start(o.signal ?? stop.signal);
      return s;
    },
  };
}

/** An agent that holds artifacts in memory and remembers every commit. */
export class Agent {
  held = new Map<string, { digest: Digest; text: string }>();
  commits: ReceivedCommit[] = [];
  revision = 0;
  refuse: ((c: ReceivedCommit) => Result<AckBody> | undefined) | undefined;
  fullHellos = 0;
  events: string[] = [];
  client!: SyncClient;
  readonly nodeName: string;
  constructor(nodeName: string) {
    this.nodeName = nodeName;
  }
  digest(): Buffer {
    return createHeldDigest([...this.held].map(([n, a]) => [n, a.digest] as const)).bytes();
  }
  hello(full: boolean): Hello {
    if (full) this.fullHellos++;
    return {
      nodeName: this.nodeName,
      agentBuild: 'test',
      kernel: undefined,
      schemaDigest: '',
      held: full ? Object.fromEntries([...this.held].map(([n, a]) => [n, digestToBytes(a.digest)])) : {},
      heldDigest: this.digest(),
      revision: this.revision,
      epoch: 1,
      features: [],
      datapath: undefined,
      pathMtu: 0,
      toldPathMtu: 0,
    };
  }
  async commit(c: ReceivedCommit): Promise<Result<AckBody>> {
    const refused = this.refuse?.(c);
    if (refused !== undefined) return refused;
    for (const u of c.upserts) this.held.set(u.name, { digest: u.digest, text: u.content.values.toString('latin1') });
    for (const n of c.removes) this.held.delete(n);
    this.commits.push(c);
    this.revision = c.revision;
    return ok({ heldDigest: this.digest(), tables: { policy: { entries: this.held.size, capacity: 100 } }, applyUs: 1 });
  }
  texts(): Record<string, string> {
    return Object.fromEntries([...this.held].map(([n, a]) => [n, a.text] as const));
  }
}

export interface AgentOptions {
  readonly endpoints: () => readonly string[];
  readonly tls: ClientTls;
  readonly signal: AbortSignal;
  readonly deps?: Partial<SyncClientDeps>;
  readonly config?: Partial<SyncClientConfig>;
}

export async function startAgent(agent: Agent, o: AgentOptions): Promise<Agent> {
  const deps: SyncClientDeps = {
    nodeName: agent.nodeName,
    hello: (full) => agent.hello(full),
    commit: (c) => agent.commit(c),
    heartbeat: () => ({ revision: agent.revision, rssBytes: 1, health: [], pathMtu: 0 }),
    endpoints: o.endpoints,
    tls: () => o.tls,
    reports: {
      linkUp: () => agent.events.push('up'),
      linkDown: () => agent.events.push('down'),
      acked: (n) => agent.events.push(`acked ${n}`),
      wantFlows: (w) => agent.events.push(`flows ${w}`),
    },
    answer: async function* () {},
    clock: systemClock,
    log: silentLog,
    ...o.deps,
  };
  agent.client = createSyncClient(deps, {
    ...syncClientDefaults,
    heartbeatMs: 100,
    quietBeatsMax: 50,
    backoff: { baseMs: 5, maxMs: 20 },
    ...o.config,
  });
  await agent.client.start(o.signal);
  return agent;
}
