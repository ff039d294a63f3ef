// Puts the API server together: store, REST, HTTP over TLS. Used by the sandbox through ./index.ts.
import { randomUUID } from 'node:crypto';
import { silentLog, systemClock } from '@axoneme/std';
import { boundTo, createTokens, type Tokens } from './auth/tokens.ts';
import { createCustomRuntime } from './crd/runtime.ts';
import { createDiscovery } from './http/discovery.ts';
import { createListeners } from './http/listeners.ts';
import { createOpenApi } from './http/openapi.ts';
import { createRouter, type Plugins } from './http/router.ts';
import { createAllocator, formatIp, parseRange } from './kinds/allocate.ts';
import { kubeconfigText } from './kubeconfig.ts';
import { createRegistry } from './registry.ts';
import { type AdmissionHooks, createAdmission } from './rest/admission.ts';
import type { RestEnv } from './rest/env.ts';
import { startEventExpiry } from './rest/event-expiry.ts';
import { startNamespaceController } from './rest/namespaces.ts';
import { notFound } from './status-error.ts';
import { createStoreClient } from './store/client.ts';
import { createMemoryStore, type MemoryStore } from './store/memory.ts';
import type { ApiServer, ApiServerConfig, ApiServerDeps, ServiceDial, Store } from './types.ts';
import { createEndpointDial } from './webhooks/dial.ts';
import { createWebhooks } from './webhooks/run.ts';

const historyDefault = 4096;
const firstNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

export function createApiServer(deps: ApiServerDeps, config: ApiServerConfig): ApiServer {
  const log = deps.log ?? silentLog;
  const clock = deps.clock ?? systemClock;
  const uuid = deps.uuid ?? randomUUID;
  const serviceCidrV4 = config.serviceCidrV4 ?? '10.96.0.0/16';
  const serviceCidrV6 = config.serviceCidrV6 ?? 'fd00:10:96::/112';
  const memory = createMemoryStore(config.watchHistoryMax ?? historyDefault);
  const registry = createRegistry();
  const hooks: AdmissionHooks = { mutating: [], validating: [] };
  let dial: ServiceDial = createEndpointDial(memory);
  const env: RestEnv = {
    store: memory,
    registry,
    allocator: createAllocator(memory, { serviceCidrV4, serviceCidrV6, nodePortRange: config.nodePortRange ?? [30_000, 32_767] }),
    custom: createCustomRuntime(memory, registry, clock),
    admission: createAdmission(
      memory,
      hooks,
      createWebhooks({ store: memory, registry, uuid, dial: (ns, name, port) => dial(ns, name, port) }),
      uuid,
    ),
    clock,
    log,
    uuid,
    podGracefulDeletion: config.podGracefulDeletion !== false,
  };
  const tokens = createTokens(memory, clock, uuid, config.adminToken);
  const plugins: Plugins = { streams: new Map(), log: undefined, proxy: undefined };
  const router = createRouter({ env, tokens, discovery: createDiscovery(registry), openapi: createOpenApi(registry), plugins });
  const store = createStoreClient(env);
  const firstIps = [formatIp(parseRange(serviceCidrV4).base + 1n, 4), formatIp(parseRange(serviceCidrV6).base + 1n, 6)];
  const net = createListeners(router, config, firstIps);
  return {
    get url() {
      return `https://127.0.0.1:${net.port()}`;
    },
    get port() {
      return net.port();
    },
    get caPem() {
      return net.certificate().caPem;
    },
    adminToken: tokens.adminToken,
    store,
    kubeconfig: (o = {}) =>
      kubeconfigText({
        cluster: config.clusterName ?? 'axoneme',
        server: o.server ?? `https://127.0.0.1:${net.port()}`,
        caPem: net.certificate().caPem,
        token: o.token ?? tokens.adminToken,
      }),
    async start(signal) {
      await seed(store);
      startNamespaceController(env, signal);
      startEventExpiry(env, signal);
      await net.start(signal);
      log.info('API server listening', { port: net.port() });
    },
    stopped: net.stopped,
    listen: net.listen,
    accept: net.accept,
    onPodStream: (kind, handler) => void plugins.streams.set(kind, handler),
    onPodLog(handler) {
      plugins.log = handler;
    },
    onProxy(handler) {
      plugins.proxy = handler;
    },
    onServiceDial(next) {
      dial = next;
    },
    onAdmission: (phase, hook) => void hooks[phase].push(hook),
    issueToken: (ns, serviceAccount, o) => issueToken(memory, tokens, ns, serviceAccount, o),
  };
}

function issueToken(
  memory: MemoryStore,
  tokens: Tokens,
  ns: string,
  serviceAccount: string,
  o: Parameters<ApiServer['issueToken']>[2] = {},
): ReturnType<ApiServer['issueToken']> {
  const account = memory.get('/serviceaccounts', ns, serviceAccount);
  if (account === undefined) throw notFound({ group: '', resource: 'serviceaccounts' }, serviceAccount);
  return tokens.issue({
    ns,
    serviceAccount,
    uid: account.metadata.uid ?? '',
    audiences: o.audiences ?? [],
    expirationSeconds: o.expirationSeconds ?? 3600,
    pod: o.pod === undefined ? undefined : boundTo('Pod', o.pod),
    node: o.node === undefined ? undefined : boundTo('Node', o.node),
  });
}

async function seed(store: Store): Promise<void> {
  const gvr = { group: '', version: 'v1', resource: 'namespaces' };
  for (const name of firstNamespaces) {
    if (store.get(gvr, '', name) === undefined) await store.create(gvr, { metadata: { name } });
  }
}
