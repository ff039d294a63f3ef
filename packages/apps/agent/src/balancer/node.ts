// The node of a stand-alone load balancer: datapath, stored rows and probes without pods, operator or CNI. It compiles nothing: whoever runs it
// hands over everything it should hold, and only differences are written. Called by the app `balancer`.
import { mkdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { BpfMap } from '@axoneme/bpf';
import { listAddresses, type NetlinkSocket } from '@axoneme/netlink';
import { artifactDigest, createHeldDigest } from '@axoneme/proto';
import { type Digest, type Health, type Log, ok, type Result, systemClock } from '@axoneme/std';
import type { Metrics } from '@axoneme/telemetry';
import { createApply } from '../apply/apply.ts';
import { createDatapath, type Datapath } from '../datapath/datapath.ts';
import { findDevices } from '../datapath/devices.ts';
import type { NodeView } from '../datapath/node-view.ts';
import { vxlanPortDefault } from '../datapath/node-view.ts';
import { readBuiltin } from '../datapath/objects.ts';
import { ownAddresses } from '../datapath/own-addresses.ts';
import { familyOf } from '../endpoints/address.ts';
import { observeKernel } from '../metrics.ts';
import { createProber, type Prober } from '../probe/prober.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';
import { createStore } from '../store/store.ts';
import { requireKernel } from '../wiring.ts';
import { countFlows } from './flows.ts';

export interface BalancerNodeConfig {
  readonly name: string;
  readonly stateDir: string;
  readonly bpffs: string;
  /** Empty: found. */
  readonly cgroupRoot: string;
  readonly objectsDir: string;
  /** Empty: those of the default routes. The first one's addresses are the source of what goes to backends. */
  readonly devices: readonly string[];
  readonly mapSizes: Readonly<Record<string, number>>;
  readonly acceleration: NodeView['acceleration'];
}

export interface Written {
  readonly revision: number;
  readonly changed: number;
  readonly removed: number;
  readonly applyUs: number;
}

export interface BalancerNode {
  /** Artifacts are held from an earlier run. */
  readonly adopted: boolean;
  /** Addresses of this machine; those in `vips` are never a source. Changes when the machine's do. */
  readonly own: readonly string[];
  readonly devices: readonly string[];
  /** All there should be, by name; what is held already is left alone. Nothing changes on failure. */
  hold(wanted: ReadonlyMap<string, ArtifactContent>): Promise<Result<Written>>;
  /** Attaches the programs, or repairs what differs. Throws. */
  configure(vips: ReadonlySet<string>): void;
  readonly prober: Prober;
  map(name: string): BpfMap;
  /** Open flows by backend id, read from the kernel now. */
  flows(): ReadonlyMap<number, number>;
  /** Tells of repairs and of changed addresses of the machine until `signal` aborts. */
  watch(signal: AbortSignal, onAddresses: () => void): void;
  /** Compares the kernel's rows with what is held and repairs them; returns how many differed. */
  verify(): number;
  health(): Health;
  /** Degraded where XDP was wanted and is not. */
  xdp(): Health;
  observe(metrics: Metrics): void;
}

const settleMs = 100;
const checkMs = 30_000;
const linkScope = 253;

export const contentOf = (p: { readonly table: string; readonly keys: Uint8Array; readonly values: Uint8Array }): ArtifactContent => ({
  table: p.table,
  keys: Buffer.from(p.keys),
  values: Buffer.from(p.values),
  blob: Buffer.alloc(0),
});

/** A view with nothing of a cluster in it. */
function balancerView(config: BalancerNodeConfig, addresses: readonly string[]): NodeView {
  return {
    name: config.name,
    blocks: [],
    clusterCidrs: [],
    tunnel: false,
    masquerade4: false,
    masquerade6: false,
    policyAudit: false,
    mtu: 0,
    vxlanPort: vxlanPortDefault,
    addresses,
    router4: '',
    router6: '',
    remotes: [],
    nodePorts: { min: 0, max: 0 },
    pathMtu: 0,
    podServices: false,
    dsrIpip: true,
    acceleration: config.acceleration,
    balancer: true,
  };
}

/** Of the first device: what packets to backends come from. */
function sources(socket: NetlinkSocket, wanted: readonly string[], vips: ReadonlySet<string>): string[] {
  const [device] = findDevices(socket, wanted, []);
  const usable = listAddresses(socket, device?.ifindex)
    .filter((a) => a.scope !== linkScope && !vips.has(a.address))
    .map((a) => a.address);
  return ([4, 6] as const).flatMap((f) => usable.find((a) => familyOf(a) === f) ?? []);
}

export async function createBalancerNode(config: BalancerNodeConfig, onNews: () => void, log: Log): Promise<BalancerNode> {
  // the pool's threads must be born in this namespace
  await stat('/');
  requireKernel(log);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  const clock = systemClock;
  const store = createStore(config.stateDir);
  const builtin = readBuiltin(config.objectsDir);
  const objects = { builtin: builtin.set, named: undefined, bytes: builtin.bytes };
  const datapath: Datapath = createDatapath({ ...config, settleMs, checkMs }, objects, clock, log);
  const apply = createApply({ store, tables: datapath.tables, clock, log });
  apply.start();
  const prober = createProber({ clock, onNews });
  const { socket } = datapath;
  const ownNow = (): readonly string[] => ownAddresses(socket, findDevices(socket, config.devices, []));
  let own = ownNow();
  let vips: ReadonlySet<string> = new Set();

  return {
    adopted: apply.complete,
    get own() {
      return own;
    },
    get devices() {
      return datapath.network?.devices.map((d) => d.name) ?? [];
    },
    async hold(wanted) {
      const held = new Map<string, Digest>(apply.heldNames());
      const next = new Map([...wanted].map(([name, content]) => [name, artifactDigest(content)] as const));
      const upserts = [...wanted]
        .filter(([name]) => held.get(name) !== next.get(name))
        .map(([name, content]) => ({ name, digest: next.get(name)!, content }));
      const removes = [...held.keys()].filter((name) => !next.has(name));
      const revision = apply.revision;
      if (apply.complete && upserts.length + removes.length === 0) return ok({ revision, changed: 0, removed: 0, applyUs: 0 });
      const heldDigest = createHeldDigest(next).bytes();
      const done = await apply.commit({ revision: revision + 1, epoch: 1, heldDigest, upserts, removes });
      if (!done.ok) return done;
      return ok({ revision: done.value.revision, changed: upserts.length, removed: removes.length, applyUs: done.value.applyUs });
    },
    configure(now) {
      vips = now;
      own = ownNow();
      datapath.configure(balancerView(config, sources(socket, config.devices, vips)), () => undefined);
      datapath.settle();
    },
    prober,
    map: (name) => datapath.map(name),
    flows: () => countFlows([datapath.map('nat4'), datapath.map('nat6')]),
    watch(signal, onAddresses) {
      datapath.watch(
        signal,
        () => undefined,
        () => {
          if (ownNow().join() !== own.join()) onAddresses();
        },
      );
    },
    verify: () => apply.verify().reduce((sum, d) => sum + d.written + d.deleted, 0),
    health: () => datapath.health(),
    xdp: () => datapath.acceleration(),
    observe(metrics) {
      metrics.observed({ name: 'agent_revision', help: 'Revision of the commit in the kernel.' }, () => apply.revision);
      observeKernel({ metrics, apply, datapath });
    },
  };
}
