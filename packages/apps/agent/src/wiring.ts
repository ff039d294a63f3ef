// Puts the agent together and runs it. Order matters at start: programs, stored commit, endpoints, then the outside world; what is in the
// kernel stays there when the agent stops. Called by main and by tests.
import { stat } from 'node:fs/promises';
import { createRingReader, missingFeatures, probeKernel, type RingReader } from '@axoneme/bpf';
import { SCHEMA_DIGEST } from '@axoneme/datapath';
import { openFrameSender, openGroupMember } from '@axoneme/netlink';
import { AppError, describeError, err, type Log, ok, type Result, systemClock } from '@axoneme/std';
import { createSyncClient, type SyncClient } from '@axoneme/stream';
import { createHealthRegistry, createMetrics, createTelemetryServer } from '@axoneme/telemetry';
import { type Announcer, createAnnouncer, l2Leases } from './announce/announcer.ts';
import { type Apply, type ApplyDeps, type BlobChange, createApply } from './apply/apply.ts';
import { createNodeIdentity } from './bootstrap/identity.ts';
import { createTrust } from './bootstrap/trust.ts';
import { createCollector } from './collect.ts';
import type { AgentConfig } from './config/config.ts';
import { createDatapath, type Datapath } from './datapath/datapath.ts';
import { readNodeView } from './datapath/node-view.ts';
import { type BuiltinObjects, concernsObjects, datapathArtifact, objectPrefix, readBuiltin, readSet, sameSet } from './datapath/objects.ts';
import { createAddresses } from './endpoints/addresses.ts';
import { type CniPaths, installBinary, installConflist } from './endpoints/cni-install.ts';
import { assertAlone, type CniHandler, createCniServer } from './endpoints/cni-server.ts';
import { createEndpointManager, type EndpointManager } from './endpoints/manager.ts';
import { createRegistry } from './endpoints/registry.ts';
import { createWorkloads, type Workloads, workloadPrefix } from './endpoints/workloads.ts';
import { createHealthChecks, type HealthChecks, healthPrefix } from './health-checks/checks.ts';
import { createHostGuard } from './host/guard.ts';
import { operatorReachable } from './host/reach.ts';
import { type AgentMetrics, createAgentMetrics, kernelLost } from './metrics.ts';
import { createNodeProbes, type NodeProbes } from './probe/node-probes.ts';
import { probesArtifact, readProbes } from './probe/targets.ts';
import { createCounters } from './report/counters.ts';
import { createFlows } from './report/flows.ts';
import { createAnswers } from './report/relay.ts';
import { createReporter } from './report/reporter.ts';
import { createStore, type Store } from './store/store.ts';
import { createSyncHandlers } from './sync/handlers.ts';

export interface Agent {
  /** Resolves when the agent serves; rejects when this node cannot run it. */
  start(): Promise<void>;
  /** Stops serving; the datapath goes on. */
  stop(): Promise<void>;
}

const build = '0.1.0';
const settleMs = 100;
const checkMs = 30_000;
const verifyMs = 300_000;
const stopGraceMs = 5_000;
/** A commit with more artifacts leaves garbage worth collecting. */
const burstArtifacts = 50;

interface ViewFeedDeps {
  readonly datapath: Datapath;
  readonly endpoints: EndpointManager;
  readonly workloads: Workloads;
  readonly announcer: Announcer;
  readonly checks: HealthChecks;
  readonly probes: NodeProbes;
  readonly log: Log;
}

/** Node configuration and routes arrive as blobs; both together make the view. */
function createViewFeed({ datapath, endpoints, workloads, announcer, checks, probes, log }: ViewFeedDeps) {
  const blobs = new Map<string, Buffer>();
  const configure = (): void => {
    try {
      const view = readNodeView(blobs.get('node/config'), blobs.get('routes'));
      if (view === undefined) return;
      checks.healthz(view.healthzAddress ?? '');
      endpoints.setView(view);
      datapath.configure(view, () => endpoints.fillRows());
      endpoints.restore();
      datapath.settle();
    } catch (e) {
      log.error('node configuration not applied', { error: e });
    }
  };
  return (changes: readonly BlobChange[]): void => {
    for (const { name, blob } of changes) {
      // taken over before the commit
      if (concernsObjects(name)) continue;
      if (name.startsWith(workloadPrefix)) workloads.set(name, blob);
      else if (name === l2Leases) announcer.setLeases(blob);
      else if (name.startsWith(healthPrefix)) checks.set(name, blob);
      else if (name === probesArtifact) probes.set(blob);
      else if (blob === undefined) blobs.delete(name);
      else blobs.set(name, blob);
    }
    if (changes.some((c) => c.name === 'node/config' || c.name === 'routes')) configure();
    else if (changes.some((c) => c.name === datapathArtifact)) datapath.settle();
  };
}

function createOwnAnnouncer(datapath: Datapath, log: Log): Announcer {
  return createAnnouncer({
    map: datapath.map('l2_announce'),
    devices: () => datapath.network?.devices ?? [],
    sender: openFrameSender(),
    groups: openGroupMember(),
    nowNs: () => process.hrtime.bigint(),
    clock: systemClock,
    log,
  });
}

/** The datapath runs what the operator names, else what the image has. */
function createOwnDatapath(config: AgentConfig, builtin: BuiltinObjects, store: Store, log: Log): Datapath {
  const blob = store.peek(datapathArtifact)?.blob;
  const named = blob === undefined ? undefined : readSet(blob);
  if (named?.ok === false) log.warn('the named datapath objects do not suit this agent', { reason: named.error.message });
  const bytes = (hash: string): Buffer | undefined => builtin.bytes(hash) ?? store.peek(`${objectPrefix}${hash}`)?.blob;
  const objects = { builtin: builtin.set, named: named?.ok ? named.value : undefined, bytes };
  return createDatapath({ ...config, settleMs, checkMs }, objects, systemClock, log);
}

function createObjects(datapath: Datapath, builtin: BuiltinObjects, endpoints: () => EndpointManager): NonNullable<ApplyDeps['objects']> {
  return {
    concerns: concernsObjects,
    take(find) {
      const blob = find(datapathArtifact)?.blob;
      const set = blob === undefined ? ok(builtin.set) : readSet(blob);
      if (!set.ok) return set;
      if (sameSet(set.value, datapath.running)) return ok(() => undefined);
      const bytes = (hash: string): Buffer | undefined => builtin.bytes(hash) ?? find(`${objectPrefix}${hash}`)?.blob;
      try {
        return ok(
          datapath.takeOver(
            set.value,
            bytes,
            () => endpoints().fillRows(),
            () => endpoints().restore(),
          ),
        );
      } catch (e) {
        return err(e instanceof AppError ? e : new AppError({ code: 'agent/object-rejected', message: describeError(e), cause: e }));
      }
    },
  };
}

/** Blobs whose owner can say that he cannot use them. */
const checkBlob = (artifact: string, blob: Buffer): Result<unknown> => (artifact === probesArtifact ? readProbes(blob) : ok(undefined));

/** What load balancers in front of the nodes are told. */
function whyNotServing(apply: Apply, datapath: Datapath): string | undefined {
  if (!apply.complete) return 'waiting for an operator';
  const health = datapath.health();
  return health.state === 'ok' ? undefined : health.reason;
}

function createCniHandler(endpoints: EndpointManager, metrics: AgentMetrics): CniHandler {
  const run: CniHandler = async (r) => {
    if (r.command === 'ADD') return endpoints.add(r);
    if (r.command === 'STATUS') endpoints.status();
    else if (r.command === 'DEL') await endpoints.del(r);
    else if (r.command === 'CHECK') await endpoints.check(r);
    else await endpoints.gc(r.conf.validAttachments);
    return null;
  };
  return async (r) => {
    const started = performance.now();
    let result = 'error';
    try {
      const answer = await run(r);
      result = 'ok';
      return answer;
    } finally {
      metrics.cniSeconds.observe((performance.now() - started) / 1000, { command: r.command, result });
    }
  };
}

export function requireKernel(log: Log): ReturnType<typeof probeKernel> {
  const kernel = probeKernel();
  const missing = missingFeatures(kernel);
  if (missing.length === 0) return kernel;
  log.error('this kernel lacks what the datapath needs', { kernel: kernel.kernel, missing });
  throw new AppError({
    code: 'agent/kernel',
    message: `kernel ${kernel.kernel} lacks ${missing.join(', ')}`,
    hint: 'Linux 5.15 or newer with BTF is needed',
  });
}

export function createAgent(config: AgentConfig, log: Log): Agent {
  const clock = systemClock;
  const life = new AbortController();
  const closers: (() => Promise<void> | void)[] = [];

  const start = async (): Promise<void> => {
    // the pool's threads must be born in this namespace, before the first visit to another one
    await stat('/');
    await assertAlone(config.socket);
    const kernel = requireKernel(log);
    const health = createHealthRegistry();
    const metrics = createMetrics({ process: true });
    const store = createStore(config.stateDir);
    const builtin = readBuiltin(config.objectsDir);
    const datapath = createOwnDatapath(config, builtin, store, log);
    const objects = createObjects(datapath, builtin, () => endpoints);
    const apply = createApply({ store, tables: datapath.tables, objects, checkBlob, clock, log });
    const workloads = createWorkloads();
    const trust = createTrust(config.trustDir, config.stateDir, clock, log);
    const identity = createNodeIdentity({ ...config, trust, clock, log });
    const flows = createFlows();
    let link: SyncClient | undefined;
    const collect = createCollector(clock);
    const connected = (): boolean => link?.link().connected ?? false;
    const endpoints: EndpointManager = createEndpointManager({
      datapath,
      registry: createRegistry(config.stateDir, log),
      addresses: createAddresses(),
      workloads,
      complete: () => apply.complete,
      connected,
      identityWaitMs: config.identityWaitMs,
      log,
    });
    const probes = createNodeProbes({ clock, log });
    closers.push(() => probes.stop());
    const agentMetrics = createAgentMetrics({ metrics, apply, datapath, endpoints, probes, connected });
    const reporter = createReporter({
      endpoints,
      flows,
      probes,
      counters: createCounters(datapath.map('counters')),
      kernelLost: () => kernelLost(datapath),
      onWantFlows: (want) => log.info(want ? 'flows are watched' : 'flows are not watched any more'),
      clock,
      log,
    });

    const cni: CniPaths = { binary: config.cniBinary, binDir: config.cniBinDir, confDir: config.cniConfDir };
    const serveCni = (): void => {
      if (!apply.complete) return;
      try {
        endpoints.status();
        if (installConflist(cni)) log.info('cni configuration written', { dir: cni.confDir });
      } catch (e) {
        log.debug('cni configuration not written yet', { reason: describeError(e) });
      }
    };
    const checks = createHealthChecks(clock, log, () => whyNotServing(apply, datapath));
    closers.push(() => checks.stop());
    const announcer = createOwnAnnouncer(datapath, log);
    closers.push(announcer.stop);
    apply.onBlobs(createViewFeed({ datapath, endpoints, workloads, announcer, checks, probes, log }));
    apply.start();
    installBinary(cni);

    const guard = createHostGuard({
      apply,
      confirmMs: config.hostPolicyConfirmMs,
      reachable: (signal) => operatorReachable(trust.now()?.endpoints ?? [], identity.tls(), signal),
      reconnect: () => link?.reconnect(),
      clock,
      log,
    });
    const components = (): { name: string; state: string; reason: string }[] => [
      ...health.components().map((c) => ({ name: c.name, state: c.health.state, reason: c.health.state === 'ok' ? '' : c.health.reason })),
      ...checks.components(),
    ];
    const status = (): object => ({
      node: config.nodeName,
      build,
      revision: apply.revision,
      epoch: apply.epoch,
      complete: apply.complete,
      connected: connected(),
      rssBytes: process.memoryUsage.rss(),
      endpoints: endpoints.list().length,
      tables: apply.occupancy(),
      hostPolicy: guard.status(),
      announced: announcer.status(),
      probes: probes.status(),
      components: components(),
    });
    const handlers = createSyncHandlers({
      nodeName: config.nodeName,
      build,
      schemaDigest: SCHEMA_DIGEST,
      kernel,
      apply,
      objects: { running: () => datapath.running, builtin: builtin.set },
      health: components,
      pathMtu: datapath.pathMtu,
      log,
    });
    const sync = createSyncClient({
      ...handlers,
      heard: () => guard.heard(),
      leases: announcer.leases,
      async commit(c) {
        const done = await handlers.commit(c);
        if (done.ok) {
          agentMetrics.applySeconds.observe(done.value.applyUs / 1e6);
          if (c.upserts.length + c.removes.length > burstArtifacts) collect();
          serveCni();
        }
        return done;
      },
      nodeName: config.nodeName,
      endpoints: () => trust.now()?.endpoints ?? [],
      tls: () => identity.tls(),
      reports: reporter.handlers,
      answer: createAnswers({ map: (n) => datapath.map(n), endpoints: () => endpoints.list(), status }),
      clock,
      log,
    });
    link = sync;
    reporter.bind(sync);
    identity.onRenewed(() => sync.reconnect());

    health.register({ name: 'datapath', health: () => datapath.health() });
    health.register({ name: 'announcements', health: announcer.health });
    health.register({ name: 'acceleration', health: () => datapath.acceleration() });
    for (const part of [identity, sync, reporter, guard]) health.register(part);
    // readiness is about pods being served, not about the operator being there
    health.gate({
      name: 'pods',
      closedBecause() {
        try {
          endpoints.status();
          return undefined;
        } catch (e) {
          return describeError(e);
        }
      },
    });

    const server = createCniServer(config.socket, createCniHandler(endpoints, agentMetrics), log);
    await server.start();
    closers.push(() => server.stop(stopGraceMs));
    const ring: RingReader = createRingReader({
      rings: [{ map: datapath.map('events'), onEvent: flows.take }],
      onError: (e) => log.error('event reader failed', { error: e }),
      busyMs: 5,
    });
    closers.push(() => ring.stop());
    if (config.healthPort >= 0) {
      const telemetry = createTelemetryServer({ health, metrics, log }, { host: '127.0.0.1', port: config.healthPort });
      await telemetry.start(life.signal);
      log.info('health and metrics served', { port: telemetry.port() });
    }
    serveCni();
    trust.watch(life.signal, () => identity.poke());
    datapath.watch(
      life.signal,
      () => endpoints.fillRows(),
      () => endpoints.restore(),
    );
    for (const part of [identity, reporter, guard]) await part.start(life.signal);
    // dialling without a certificate would only build up backoff
    void identity.ready().then(() => sync.start(life.signal));
    verifyNowAndThen();
    log.info('agent serves', { node: config.nodeName, revision: apply.revision, complete: apply.complete });

    function verifyNowAndThen(): void {
      const timer = setInterval(() => {
        const drift = apply.verify();
        if (drift.length > 0) log.error('kernel tables were changed by somebody else and have been repaired', { drift });
      }, verifyMs);
      life.signal.addEventListener('abort', () => clearInterval(timer));
    }
  };

  return {
    start,
    async stop() {
      life.abort();
      for (const close of closers.reverse()) await close();
    },
  };
}
