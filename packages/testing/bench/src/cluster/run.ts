// `npm run bench -- cluster`: a sandbox of three nodes installed by Helm, real operator and agents: pods at once, policy edits, memory,
// what changes elsewhere cost, operator restart.
import { loadavg } from 'node:os';
import { waitForCalm } from '../quiet.ts';
import { createReport, plainRow, quantile, type Report, type Row } from '../report.ts';
import { type Adds, measureAdds, removeCrowd } from './adds.ts';
import { type Burst, measureBurst } from './burst.ts';
import { type Cluster, upCluster } from './cluster.ts';
import { type Edit, measureEdits, prepareEdits } from './edits.ts';
import { createElsewhere, editElsewhere, sentBytes, settled } from './elsewhere.ts';
import { type Memory, memoryOf } from './processes.ts';
import { measureRestart, type Restart } from './restart.ts';

export interface ClusterOptions {
  readonly rounds: number;
  readonly progress: (line: string) => void;
}

const NODES = 3;
const PODS = 100;
const EDITS = 60;
const STRANGERS = 2000;
const RSS_BUDGET_MB = 120;

interface Moment {
  readonly what: string;
  readonly agents: readonly Memory[];
  readonly operator: Memory;
}

async function moment(c: Cluster, what: string): Promise<Moment> {
  await settled(c);
  return { what, agents: c.nodes.map((n) => memoryOf(c.agentPid(n))), operator: memoryOf(c.operatorPid()) };
}

interface Findings {
  readonly adds: readonly Adds[];
  readonly bursts: readonly Burst[];
  readonly edits: readonly (readonly Edit[])[];
  readonly moments: readonly Moment[];
  readonly podsBytes: number;
  readonly policyBytes: number;
  readonly restarts: readonly Restart[];
}

export async function runClusterBench(options: ClusterOptions): Promise<Report> {
  const load: string[] = [];
  const calm = async (what: string): Promise<void> => {
    const busy = await waitForCalm(0.2, 20_000);
    load.push(`${what} ${Math.round(busy * 100)} % (load ${loadavg()[0]!.toFixed(1)})`);
    options.progress(`${what}; machine ${Math.round(busy * 100)} % busy before it`);
  };
  const cluster = await upCluster(NODES, options.progress);
  try {
    const findings = await measure(cluster, options.rounds, calm);
    return createReport('Cluster of three nodes', options.rounds, rowsOf(findings), [
      `${NODES} nodes, operator, agents, Redis, API server and this program share the machine; ${STRANGERS} pods with an identity each on nodes without an agent.`,
      `Pods at once: the kubelet of the sandbox starts 8 pods at a time. Quantiles of ADD are read from the agent's histogram.`,
      `Busy before: ${load.join(', ')}.`,
    ]);
  } finally {
    await cluster.down();
  }
}

async function measure(c: Cluster, rounds: number, calm: (what: string) => Promise<void>): Promise<Findings> {
  const moments = [await moment(c, 'idle, no pods')];
  const adds: Adds[] = [];
  for (let r = 0; r < rounds; r++) {
    if (r > 0) await removeCrowd(c);
    await settled(c);
    await calm(`${PODS} pods at once`);
    adds.push(await measureAdds(c, PODS));
  }
  moments.push(await moment(c, `${PODS} pods on one node`));
  const bursts: Burst[] = [];
  for (let r = 0; r < rounds; r++) {
    await settled(c);
    await calm(`${PODS} requests at once`);
    bursts.push(await measureBurst(c, PODS));
  }
  await prepareEdits(c);
  const edits: (readonly Edit[])[] = [];
  for (let r = 0; r < rounds; r++) {
    await settled(c);
    await calm(`${EDITS} edits`);
    edits.push(await measureEdits(c, EDITS, 1000 * (r + 1)));
  }
  const elsewhere = await createElsewhere(c, STRANGERS + 100);
  moments.push(await moment(c, 'after the edits'));
  await elsewhere.add(STRANGERS);
  moments.push(await moment(c, `${STRANGERS} identities elsewhere`));
  const before = await sentBytes(c);
  await elsewhere.add(100);
  const afterPods = await sentBytes(c);
  await editElsewhere(c);
  const afterPolicy = await sentBytes(c);
  const restarts: Restart[] = [];
  for (let r = 0; r < rounds; r++) {
    await settled(c);
    await calm('operator restart');
    restarts.push(await measureRestart(c));
  }
  moments.push(await moment(c, 'after the restarts'));
  return {
    adds,
    bursts,
    edits,
    moments,
    restarts,
    podsBytes: afterPods.artifactBytes - before.artifactBytes,
    policyBytes: afterPolicy.artifactBytes - afterPods.artifactBytes,
  };
}

function rowsOf(f: Findings): readonly Row[] {
  const adds = (of: (a: Adds) => number): number[] => f.adds.map(of);
  const edits = (of: (e: Edit) => number, share: number): number[] => f.edits.map((round) => quantile(round.map(of), share));
  const bursts = (share: number): number[] => f.bursts.map((b) => quantile(b.answersMs, share));
  const memory = f.moments.flatMap((m) => [
    plainRow(
      `agent RSS, ${m.what}`,
      'MB',
      m.agents.map((a) => a.rssMb),
      {
        max: RSS_BUDGET_MB,
        note: `anonymous ${Math.max(...m.agents.map((a) => a.anonMb)).toFixed(0)} MB at most`,
      },
    ),
    plainRow(`operator RSS, ${m.what}`, 'MB', [m.operator.rssMb], { note: `anonymous ${m.operator.anonMb.toFixed(0)} MB` }),
  ]);
  return [
    plainRow(
      'CNI ADD, agent side, p50',
      'ms',
      adds((a) => a.p50Ms),
      { note: `${PODS} pods at once on a node` },
    ),
    plainRow(
      'CNI ADD, agent side, p99',
      'ms',
      adds((a) => a.p99Ms),
      { max: 250 },
    ),
    plainRow(
      'agent CPU a pod',
      'ms',
      adds((a) => a.cpuMsEach),
      { max: 10 },
    ),
    plainRow(
      'all pods ready',
      'ms',
      adds((a) => a.readyMs),
      { note: 'kubelet, API server and processes included' },
    ),
    plainRow('CNI ADD, answer to the socket, p50', 'ms', bursts(0.5), { note: `${PODS} requests in the same moment` }),
    plainRow('CNI ADD, answer to the socket, p99', 'ms', bursts(0.99), { max: 250 }),
    plainRow(
      'agent CPU a request',
      'ms',
      f.bursts.map((b) => b.cpuMsEach),
      { max: 10 },
    ),
    plainRow(
      'policy edit acknowledged by all nodes, p50',
      'ms',
      edits((e) => e.ackedMs, 0.5),
      { note: `${EDITS} edits a round` },
    ),
    plainRow(
      'policy edit acknowledged by all nodes, p99',
      'ms',
      edits((e) => e.ackedMs, 0.99),
      { max: 250 },
    ),
    plainRow(
      'condition Enforced seen, p50',
      'ms',
      edits((e) => e.enforcedMs, 0.5),
    ),
    plainRow(
      'condition Enforced seen, p99',
      'ms',
      edits((e) => e.enforcedMs, 0.99),
    ),
    ...memory,
    plainRow('artifact bytes to real nodes for 100 pods elsewhere', 'B', [f.podsBytes], { max: 0 }),
    plainRow('artifact bytes to real nodes for a policy elsewhere', 'B', [f.policyBytes], { max: 0 }),
    plainRow(
      'operator killed → all nodes current',
      'ms',
      f.restarts.map((r) => r.currentMs),
      { max: 30_000 },
    ),
    plainRow(
      'operator process started → all nodes current',
      'ms',
      f.restarts.map((r) => r.sinceStartMs),
    ),
    plainRow(
      'artifact bytes after an operator restart',
      'B',
      f.restarts.map((r) => r.artifactBytes),
      { max: 0 },
    ),
  ];
}
