// Puts the operator together: sources → world → compile loop → node server; leader duties beside. Called by main.ts.

import { clientRoleOf, nodeIdentityOf } from '@axoneme/pki';
import { AppError, type Clock, err, type Log, type NodeName, ok, systemClock } from '@axoneme/std';
import { createNodeServer, type NodeServer, type NodeServerDeps } from '@axoneme/stream';
import { createHealthRegistry, createLog, createMetrics, createTelemetryServer, type HealthRegistry } from '@axoneme/telemetry';
import { connectKube, type KubeClient } from 'kopf-ts';
import { CA_BUNDLE_LOOK_MS, createCaBundleWriter } from './admission/ca-bundle.ts';
import { createWebhookServer, type WebhookServer, type WebhookTls } from './admission/server.ts';
import { type Compiler, createCompiler } from './compile/compiler.ts';
import { createDatapathRollout, type DatapathRollout, readTargetObjects, type TargetObjects } from './compile/datapath.ts';
import { createDispatcher, type Dispatcher } from './compile/dispatch.ts';
import { createGates, type Gates } from './compile/gates/gates.ts';
import { type CompileLoop, createCompileLoop } from './compile/loop.ts';
import { type OperatorConfig, OWN_OBJECTS_DIR } from './config.ts';
import { createFleetJudge, type FleetJudge, PROBES_FEATURE } from './leader/fleet-judge.ts';
import { createL2Duties, type L2Duties } from './leader/l2-duties.ts';
import { createLeader, type Leader, type Term } from './leader/leader.ts';
import type { Reconciler } from './leader/reconciler.ts';
import { ensureCa, ensureCliCertificate, issueReplicaCertificate, publishTrust, type TrustConfig } from './leader/trust.ts';
import { createAdminHandlers } from './serve/admin.ts';
import { createFlowLog } from './serve/flows.ts';
import { type ClusterMirror, createClusterMirror } from './serve/mirror.ts';
import { createReportHandler } from './serve/reports.ts';
import { type SignConfig, signNode } from './serve/sign.ts';
import { createSources, type Sources } from './sources/sources.ts';
import { statusDuties } from './status/duties.ts';
import { createFleetRevisions, type FleetRevisions } from './status/fleet-writer.ts';
import { createLinter, type Linter } from './status/lints.ts';
import { createNodeProblems, type NodeProblems } from './status/node-problems.ts';
import { ackedOf } from './status/policy-status.ts';
import { createPodGates, type PodGates } from './status/readiness.ts';
import { createWorld, type World } from './world/world.ts';

export interface Operator {
  /** Runs until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Inputs older than this: a leader steps down, agents look for a fresher replica. */
const STALE_MS = 60_000;
const NODE_CERTIFICATE_TTL_MS = 30 * 86_400_000;
const RENEW_OWN_CERTIFICATE_MS = 10 * 86_400_000;

interface Parts {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly world: World;
  readonly sources: Sources;
  readonly compiler: Compiler;
  readonly health: HealthRegistry;
  readonly rollout: DatapathRollout;
  readonly linter: Linter;
  readonly podGates: PodGates;
  readonly problems: NodeProblems;
  readonly fleetRevisions: FleetRevisions;
  readonly judge: FleetJudge;
  /** For parts made before the loop is. */
  readonly loop: { current?: CompileLoop };
}

const trustConfigOf = (c: OperatorConfig): TrustConfig => ({
  namespace: c.podNamespace,
  clusterName: c.clusterName,
  advertiseAddress: c.advertiseAddress,
  port: c.port,
  bootstrapPort: c.bootstrapPort,
});

/** Addresses of all operator replicas, from their pods. */
function replicaAddresses(p: Parts): string[] {
  const pods = [...p.world.tables.pods.values()].filter(
    (o) => o.namespace === p.config.podNamespace && !o.finished && o.labels['app.kubernetes.io/component'] === 'operator',
  );
  return pods.flatMap((o) => o.addresses.slice(0, 1));
}

function createOwnLeader(
  p: Parts,
  ca: Awaited<ReturnType<typeof ensureCa>>,
  loop: () => CompileLoop,
  server: () => NodeServer,
  floor: () => number,
  mirror: ClusterMirror,
  invariants: Gates['invariants'],
  l2: L2Duties,
): Leader {
  const trust = trustConfigOf(p.config);
  return createLeader(
    {
      client: p.client,
      world: p.world,
      clock: p.clock,
      log: p.log,
      pods: () => p.compiler.podViews(p.world.tables),
      isFresh: () => p.sources.oldestMs() < STALE_MS,
      epochFloor: floor,
      onTerm: (epoch) => {
        mirror.term(epoch);
        p.judge.lead(epoch !== undefined);
        loop().mark();
      },
      writers: (t: Term): Reconciler[] => [
        t.reconciler('trust', async () => {
          await publishTrust(p.client, ca, trust, replicaAddresses(p));
          await ensureCliCertificate(p.client, ca, trust, p.clock.nowMs());
        }),
        ...(p.config.webhookPort === 0 ? [] : [webhookTrust(p, ca.certPem, t)]),
        ...l2.writers(t),
        ...statusDuties(
          {
            ...p,
            gates: p.podGates,
            loop,
            acked: (node, ofNode) => ackedOf(server().hub.link(node as NodeName), ofNode),
            ackedNow: (node) => {
              const link = server().hub.link(node as NodeName);
              return link?.connected === true ? ackedOf(link, false) : 0;
            },
            invariants,
          },
          t,
        ),
      ],
    },
    p.config,
  );
}

function nodeServerDeps(
  p: Parts,
  ca: Awaited<ReturnType<typeof ensureCa>>,
  leader: () => Leader,
  loop: () => CompileLoop,
  epoch: () => number,
  dispatcher: () => Dispatcher,
  l2: L2Duties,
): Omit<NodeServerDeps, 'tls' | 'admin' | 'report'> {
  const signConfig: SignConfig = {
    clusterName: p.config.clusterName,
    namespace: p.config.podNamespace,
    agentServiceAccount: 'axoneme-agent',
    audience: 'axoneme-operator',
    nodeCertificateTtlMs: NODE_CERTIFICATE_TTL_MS,
  };
  return {
    clock: p.clock,
    log: p.log,
    grant: l2.grant,
    artifacts: (name, digest) => p.compiler.body(name, digest) ?? p.rollout.body(name, digest),
    freshness: () => ({ epoch: epoch(), leader: leader().isLeader(), inputAgeMs: p.sources.ages() }),
    nodeOf: (peer) => {
      const id = nodeIdentityOf(peer);
      if (!id.ok) return id;
      if (id.value.cluster === p.config.clusterName) return ok(id.value.node);
      return err(new AppError({ code: 'operator/other-cluster', message: `the certificate is of cluster ${id.value.cluster}` }));
    },
    isAdmin: (peer) => clientRoleOf(peer, p.config.clusterName) === 'admin',
    sign: async (q) => {
      const r = await signNode({ client: p.client, ca }, signConfig, q);
      if (!r.ok) {
        p.log.warn('certificate refused', { node: q.nodeName, reason: r.error.message });
        throw new AppError({
          code: 'stream/unauthenticated',
          message: r.error.message,
          ...(r.error.hint === undefined ? {} : { hint: r.error.hint }),
        });
      }
      p.log.info('node certificate issued', { node: q.nodeName });
      return { certificatePem: r.value.certificatePem, caPem: r.value.caPem, notAfterUnixMs: r.value.notAfterMs };
    },
    events: {
      connected: (node, hello) => {
        loop().raiseRevision(hello.revision);
        p.rollout.hello(node, hello);
        if (!hello.features.includes(PROBES_FEATURE)) p.world.remove('probers', node);
        else if (!p.world.tables.probers.has(node)) p.world.set('probers', node, true);
        p.compiler.pathMtus.hear(node, hello.pathMtu, hello.toldPathMtu);
        // at once: the stream compares what the node holds with what it should hold right after this
        dispatcher().refresh(node, { revision: loop().revision(), epoch: epoch() });
        l2.connected(node, hello.features);
        loop().mark();
      },
      heartbeat: (node, beat) => {
        l2.sign(node);
        if (p.compiler.pathMtus.hear(node, beat.pathMtu)) loop().mark();
        if (p.problems.note(node, beat.health)) leader().poke();
      },
      disconnected: (node) => {
        p.rollout.disconnected(node);
        p.problems.forget(node);
        p.world.remove('probers', node);
        l2.disconnected(node);
      },
      ack: (node, ack) => {
        p.rollout.ack(node, ack);
        l2.sign(node);
        loop().acked();
        leader().poke();
      },
      nack: (node, nack) => {
        p.rollout.nack(node, nack);
        leader().poke();
      },
    },
  };
}

/** Objects somebody asked for must be there; without our own, agents run theirs. */
function targetObjects(dir: string, log: Log): TargetObjects | undefined {
  if (dir === '') return undefined;
  try {
    return readTargetObjects(dir);
  } catch (error) {
    if (dir !== OWN_OBJECTS_DIR) throw error;
    log.warn('this operator has no eBPF objects, agents run those of their images', { error });
    return undefined;
  }
}

function createParts(config: OperatorConfig, onRollout: () => void): Parts {
  const clock = systemClock;
  const log = createLog({ app: 'operator', level: config.logLevel });
  const client = connectKube({ kind: 'default' }, { userAgent: 'axoneme-operator', clock });
  const world = createWorld();
  const sources = createSources({ client, world, log, clock, config });
  const health = createHealthRegistry();
  const target = targetObjects(config.datapathObjectsDir, log);
  const rollout = createDatapathRollout({ target, mode: config.datapathRollout, onChange: onRollout });
  const loop: Parts['loop'] = {};
  const linter = createLinter(() => loop.current?.last());
  const compiler = createCompiler(config);
  return {
    config,
    client,
    clock,
    log,
    world,
    sources,
    compiler,
    health,
    rollout,
    linter,
    loop,
    podGates: createPodGates(world),
    problems: createNodeProblems(),
    fleetRevisions: createFleetRevisions(),
    judge: createFleetJudge({ world, clock, log, fleets: () => compiler.fleets.fleets }),
  };
}

/** Also wakes up by itself: somebody may put the configuration back as the chart has it while nothing else happens. */
function webhookTrust(p: Parts, caPem: string, t: Term): Reconciler {
  const r = t.reconciler('webhook trust', createCaBundleWriter({ client: p.client, clock: p.clock, caPem, assertLeader: t.assertLeader }));
  const tick = (): void => {
    if (t.signal.aborted) return;
    r.mark();
    p.clock.after(CA_BUNDLE_LOOK_MS, tick);
  };
  p.clock.after(CA_BUNDLE_LOOK_MS, tick);
  return r;
}

async function startWebhook(p: Parts, tls: WebhookTls, signal: AbortSignal): Promise<WebhookServer | undefined> {
  const { webhookPort, clusterName } = p.config;
  if (webhookPort === 0) return undefined;
  const webhook = createWebhookServer({ log: p.log, clock: p.clock }, { host: '::', port: webhookPort, clusterName }, tls);
  await webhook.start(signal);
  p.health.register(webhook);
  return webhook;
}

async function serve(p: Parts, signal: AbortSignal): Promise<{ leader: Leader; loop: CompileLoop; server: NodeServer }> {
  const { config, client, log, clock, world } = p;
  const trust = trustConfigOf(config);
  const ca = await ensureCa(client, trust, log);
  const flows = createFlowLog();
  let epochSeen = 0;
  const mirror = createClusterMirror({ world, clock, log, signal }, config);
  const l2 = createL2Duties({ ...p, hub: () => server.hub, isLeader: () => leader.isLeader() });
  const leader: Leader = createOwnLeader(
    p,
    ca,
    () => loop,
    () => server,
    () => epochSeen,
    mirror,
    () => gates.invariants(),
    l2,
  );
  // a replica that does not lead passes on the epoch of the one that does: agents take an older one for a replica that is behind
  const epoch = (): number => leader.epoch() ?? Math.max(epochSeen, leader.epochSeen());
  const { compiler, rollout } = p;
  const dispatcher = createDispatcher({ tables: world.tables, compiler, hub: () => server.hub, rollout });
  const gates = createGates(
    {
      compiler,
      dispatcher,
      tables: world.tables,
      reported: (node, table) => server.hub.link(node as NodeName)?.lastAck?.tables[table]?.capacity,
      decision: () => loop.decision(),
      log,
    },
    config,
  );
  const loop: CompileLoop = createCompileLoop({
    world,
    compiler,
    dispatcher,
    gatekeeper: gates.gatekeeper,
    clock,
    log,
    epoch,
    settled: () => Math.min(...server.hub.status().flatMap((l) => (l.connected ? [l.ackedRevision] : []))),
    onCompiled: (compiled, dirty) => {
      mirror.note(compiled, dirty, loop.revision());
      p.podGates.note(compiled, dirty, loop.revision());
      p.fleetRevisions.note(compiled.fleets, loop.revision());
      p.judge.compiled(dirty);
      leader.notice(dirty);
      leader.poke();
    },
  });
  p.loop.current = loop;
  const base = nodeServerDeps(
    p,
    ca,
    () => leader,
    () => loop,
    epoch,
    () => dispatcher,
    l2,
  );
  const tlsOf = async () => ({ ...(await issueReplicaCertificate(ca, trust)), caPem: ca.certPem });
  const tls = await tlsOf();
  const webhook = await startWebhook(p, tls, signal);
  const server: NodeServer = createNodeServer(
    {
      ...base,
      tls,
      report: createReportHandler(world, flows, p.judge),
      events: {
        ...base.events,
        connected: (node, hello) => {
          epochSeen = Math.max(epochSeen, hello.epoch);
          base.events.connected?.(node, hello);
        },
      },
      admin: createAdminHandlers({
        world,
        flows,
        clock,
        linter: p.linter,
        verdict: (key) => loop.verdicts.get(key),
        server: () => server,
        problems: p.problems.byService,
        compiled: () => loop.last(),
        components: () =>
          p.health
            .components()
            .map((c) => ({ name: c.name, state: c.health.state, reason: c.health.state === 'ok' ? '' : c.health.reason })),
        self: () => ({ id: config.podName, leader: leader.isLeader(), revision: loop.revision(), epoch: epoch() }),
      }),
    },
    { host: '::', ports: { node: config.port, bootstrap: config.bootstrapPort, admin: config.adminPort }, operatorId: config.podName },
  );
  const renew = async (): Promise<void> => {
    while (!signal.aborted) {
      await clock.sleep(RENEW_OWN_CERTIFICATE_MS, signal);
      if (signal.aborted) return;
      const next = await tlsOf();
      server.updateTls(next);
      webhook?.updateTls(next);
    }
  };
  void renew().catch((error: unknown) => log.error('own certificate was not renewed', { error }));
  server.setWantFlows(true);
  p.health.register(mirror);
  p.health.register(p.rollout);
  for (const c of gates.components) p.health.register(c);
  return { leader, loop, server };
}

export function createOperator(config: OperatorConfig): Operator {
  return {
    async run(signal) {
      let changed = (): void => undefined;
      const p = createParts(config, () => changed());
      p.log.info('operator starts', { config });
      const metrics = createMetrics({ process: true });
      p.health.register({ name: 'sources', health: () => p.sources.health() });
      const telemetry = createTelemetryServer({ health: p.health, metrics, log: p.log }, { host: '::', port: config.metricsPort });
      await telemetry.start(signal);
      const { leader, loop, server } = await serve(p, signal);
      p.health.register({ name: 'leader duties', health: () => leader.health() });
      p.health.register(server);
      p.health.gate({ name: 'first compile', closedBecause: () => (loop.last() === undefined ? 'nothing compiled yet' : undefined) });
      metrics.observed({ name: 'operator_revision', help: 'Newest revision' }, () => loop.revision());
      metrics.observed({ name: 'operator_compile_duration_ms', help: 'Duration of the last compile' }, () => loop.lastCompileMs());
      metrics.observed({ name: 'operator_nodes_connected', help: 'Nodes with a stream' }, () => server.hub.totals().connected);
      metrics.observed(
        { name: 'operator_artifact_bytes_sent', help: 'Bytes of artifacts sent to nodes' },
        () => server.hub.totals().sent.artifactBytes,
      );
      changed = () => loop.mark();
      p.world.onChange(changed);
      await p.sources.start(signal);
      await p.sources.synced;
      p.log.info('inputs complete');
      loop.start();
      await leader.start(signal);
      await server.start(signal);
      await new Promise<void>((resolve) =>
        signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      await leader.ended;
      p.client.close();
    },
  };
}
