// The datapath of one node: programs on their hooks, network objects, node rows; kept right against whoever else changes things. Wiring
// feeds it the node's view; endpoints attach pods through it. Nothing here is undone when the agent stops.
import { type BpfMap, netnsCookie as cookieOfNetns, ensureBpffs, findCgroup2 } from '@axoneme/bpf';
import { createMonitor, type Link, type Monitor, NetlinkSocket, type NetworkEvent, OUR_PROTOCOL, readSysctl } from '@axoneme/netlink';
import { AppError, type Clock, describeError, type Health, type Log, type Timer } from '@axoneme/std';
import type { Table, Tables } from '../ports/tables.ts';
import { accelerate, deviceMap } from './acceleration.ts';
import { createDeadBackends } from './dead-backends.ts';
import { findDevices } from './devices.ts';
import { expedited, settleExpedited } from './expedite.ts';
import { hostEnforced } from './host-flag.ts';
import { type Attachment, cgroupAttachType, createLinks, type Links } from './links.ts';
import { ensureNetwork, hostName, type NodeNetwork, netName, prepareDevice, vxlanName } from './network.ts';
import type { NodeView } from './node-view.ts';
import { type ObjectSet, rejected } from './objects.ts';
import { isPinned, type LoadedPrograms, type LoadOptions, loadPrograms } from './programs.ts';
import { balancerPorts, hostRows, masqueradePorts, nodeConfigRow, type Row } from './rows.ts';
import { createTables, tableOf } from './tables.ts';

export interface DatapathConfig {
  readonly bpffs: string;
  /** Empty: found. */
  readonly cgroupRoot: string;
  readonly devices: readonly string[];
  readonly mapSizes: Readonly<Record<string, number>>;
  /** Quiet time after a foreign change before things are looked at. */
  readonly settleMs: number;
  readonly checkMs: number;
}

export interface DatapathObjects {
  readonly builtin: ObjectSet;
  /** What the operator named last; it runs if it is pinned or all of it is here. */
  readonly named: ObjectSet | undefined;
  readonly bytes: LoadOptions['bytes'];
}

export interface Datapath {
  readonly tables: Tables;
  map(name: string): BpfMap;
  readonly socket: NetlinkSocket;
  /** Undefined until configured. */
  readonly network: NodeNetwork | undefined;
  /** Largest packet of a pod, as far as this node knows, and what the operator said of the others; 0: nothing yet. */
  pathMtu(): { readonly own: number; readonly told: number };
  /** Rows of the endpoint table that are no pods. */
  hostRows(): readonly Row[];
  /** Brings node objects and rows to `view`; `fill` writes the pods' rows before any program is attached or swapped. Throws; may be called again. */
  configure(view: NodeView, fill: () => void): void;
  attachPod(hostIfname: string, ifindex: number): void;
  /** After the device is gone. */
  detachPod(hostIfname: string): void;
  /** Names of host devices that have pod pins. */
  podPins(): readonly string[];
  /** Pins of programs no hook uses any more are dropped; call after all pods are attached again. */
  settle(): void;
  /** The objects whose programs run. */
  readonly running: ObjectSet;
  /**
   * Takes over other objects: verified first, then swapped in on every hook; `fill` and `attachPods` as for `configure` and `watch`.
   * Returns how to go back, good until `settle`. Throws `agent/object-rejected` and changes nothing when they cannot run.
   */
  takeOver(set: ObjectSet, bytes: LoadOptions['bytes'], fill: () => void, attachPods: () => void): () => void;
  /** Reads what changed behind our back and repairs it, until `signal` aborts. `onRepair` runs after each pass. */
  watch(signal: AbortSignal, fill: () => void, onRepair: () => void): void;
  health(): Health;
  /** Whether the devices have XDP where it is wanted; without it tc serves, slower. */
  acceleration(): Health;
}

const podPin = (hostIfname: string, direction: string): string => `pod-${hostIfname}-${direction}`;

function writeRows(table: Table, rows: readonly Row[]): void {
  table.put(Buffer.concat(rows.map((r) => r.key)), Buffer.concat(rows.map((r) => r.value)));
}

/** Everything but pods that must be attached. */
function nodeAttachments(v: NodeView, n: NodeNetwork, programs: LoadedPrograms, cgroup: string): Attachment[] {
  const tc = (pin: string, program: string, link: Link, direction: 'ingress' | 'egress'): Attachment => ({
    pin,
    program,
    hook: { kind: 'tc', ifindex: link.ifindex, direction },
  });
  // programs of a balancer's own machine are no clients
  const sock = v.balancer === true ? [] : programs.names.filter((p) => cgroupAttachType(p) !== undefined);
  return [
    ...n.devices.flatMap((d) => [
      tc(`dev-${d.name}-ingress`, 'from_netdev', d, 'ingress'),
      tc(`dev-${d.name}-egress`, 'to_netdev', d, 'egress'),
    ]),
    ...(n.vxlan ? [tc('overlay', 'from_overlay', n.vxlan, 'ingress')] : []),
    tc('host', 'from_host', n.host, 'egress'),
    ...sock.map((p): Attachment => ({ pin: `cgroup-${p}`, program: p, hook: { kind: 'cgroup', path: cgroup } })),
  ];
}

/** What the operator named last if this node still has it, else what the image has. */
function firstPrograms(
  { named, builtin, bytes }: DatapathObjects,
  base: Omit<LoadOptions, 'objects' | 'bytes' | 'onMapMismatch'>,
): LoadedPrograms {
  const here =
    named !== undefined && (isPinned({ ...base, objects: named }) || [...named.values()].every((hash) => bytes(hash) !== undefined));
  if (named !== undefined && !here)
    base.log.warn('the named datapath objects are not on this node any more, running those of the image', {});
  if (here) {
    try {
      return loadPrograms({ ...base, objects: named, bytes, onMapMismatch: 'replace' });
    } catch (error) {
      base.log.error('the named datapath objects cannot run any more, running those of the image', { error });
    }
  }
  return loadPrograms({ ...base, objects: builtin, bytes, onMapMismatch: 'replace' });
}

/** Loads or takes up the programs. Throws when this node cannot run the datapath. */
export function createDatapath(config: DatapathConfig, objects: DatapathObjects, clock: Clock, log: Log): Datapath {
  ensureBpffs(config.bpffs);
  settleExpedited();
  const root = `${config.bpffs}/axoneme`;
  const cgroup = config.cgroupRoot === '' ? findCgroup2() : config.cgroupRoot;
  const base = { root, mapSizes: config.mapSizes, log };
  const netnsCookie = cookieOfNetns();
  let programs = firstPrograms(objects, base);
  let stale: LoadedPrograms[] = [];
  const { maps } = programs;
  const links: Links = createLinks(`${root}/links`, (name) => programs.program(name));
  const dead = createDeadBackends((name) => maps.get(name), clock, log);
  const tables = createTables(maps, dead.follow);
  const socket = new NetlinkSocket();
  let network: NodeNetwork | undefined;
  let view: NodeView | undefined;
  let acceleration: Health = { state: 'ok' };
  let health: Health = { state: 'degraded', reason: 'waiting for the configuration of this node' };

  // flows judged under an older generation map must not look current under a new one
  if (programs.replacedMaps.includes('generation') || !programs.adopted) tables.startGeneration();

  const map = (name: string): BpfMap => {
    const m = maps.get(name);
    if (m) return m;
    throw new AppError({ code: 'agent/no-map', message: `the datapath has no map ${name}` });
  };
  const writeNodeRows = (v: NodeView, n: NodeNetwork): void => {
    const local = readSysctl(['net', 'ipv4', 'ip_local_port_range']);
    const ports = v.balancer === true ? balancerPorts(local) : masqueradePorts(local, v.nodePorts);
    const row = nodeConfigRow(v, n, { ports, enforced: hostEnforced(map('subject')), netnsCookie });
    const config_ = map('node_config');
    if (!config_.lookup(row.key)?.equals(row.value)) {
      config_.update(row.key, row.value);
      tables.bumpGeneration();
    }
    writeRows(tableOf(map('endpoint')), hostRows(v, n));
  };
  const ensureAttachment = (a: Attachment): void => {
    const outcome = links.ensure(a);
    if (outcome !== 'kept') log.info('program attached', { pin: a.pin, program: a.program, outcome });
  };
  const configure = (v: NodeView, fill: () => void): void => {
    view = v;
    try {
      const n = ensureNetwork(socket, v, findDevices(socket, config.devices, v.addresses), log);
      network = n;
      writeNodeRows(v, n);
      fill();
      const attachments = nodeAttachments(v, n, programs, cgroup);
      expedited(() => {
        for (const a of attachments) ensureAttachment(a);
      });
      const xdp = accelerate({ links, targets: maps.get(deviceMap), log }, v.acceleration, n.devices);
      const wanted = new Set([...attachments.map((a) => a.pin), ...xdp.pins]);
      for (const pin of links.pins()) if (!pin.startsWith('pod-') && !wanted.has(pin)) links.remove(pin);
      acceleration = xdp.health;
      health = { state: 'ok' };
    } catch (e) {
      health = { state: 'degraded', reason: describeError(e) };
      throw e;
    }
  };
  const use = (next: LoadedPrograms, fill: () => void, attachPods: () => void): void => {
    programs = next;
    if (view === undefined) return;
    configure(view, fill);
    attachPods();
    // other programs may judge differently
    tables.bumpGeneration();
  };

  return {
    tables,
    map,
    socket,
    get network() {
      return network;
    },
    pathMtu: () => ({ own: Math.min(network?.mtu ?? 0, 0xffff), told: view?.pathMtu ?? 0 }),
    hostRows: () => (view && network ? hostRows(view, network) : []),
    configure,
    attachPod(hostIfname, ifindex) {
      prepareDevice(hostIfname);
      expedited(() => {
        for (const direction of ['ingress', 'egress'] as const) {
          const program = direction === 'ingress' ? 'from_pod' : 'to_pod';
          links.ensure({ pin: podPin(hostIfname, direction), program, hook: { kind: 'tc', ifindex, direction } });
        }
      });
    },
    detachPod(hostIfname) {
      for (const direction of ['ingress', 'egress']) links.remove(podPin(hostIfname, direction));
    },
    podPins: () => [...new Set(links.pins().flatMap((p) => /^pod-(.+)-(?:in|e)gress$/.exec(p)?.[1] ?? []))],
    settle() {
      for (const s of stale) s.close();
      stale = [];
      programs.retire();
    },
    get running() {
      return programs.set;
    },
    takeOver(set, bytes, fill, attachPods) {
      const before = programs;
      const back = (): void => {
        const left = programs;
        use(before, fill, attachPods);
        left.close();
        stale = stale.filter((s) => s !== before);
        before.retire();
      };
      try {
        const next = loadPrograms({ ...base, objects: set, bytes, onMapMismatch: 'fail' });
        try {
          use(next, fill, attachPods);
        } catch (e) {
          back();
          throw e;
        }
      } catch (cause) {
        throw rejected(`the objects cannot run here: ${describeError(cause)}`, cause);
      }
      stale.push(before);
      log.info('datapath objects changed', { objects: Object.fromEntries(set) });
      return back;
    },
    watch(signal, fill, onRepair) {
      const repair = (): void => {
        if (view === undefined) return;
        try {
          configure(view, fill);
          onRepair();
        } catch (e) {
          log.error('datapath repair failed', { error: e });
        }
      };
      watchNetwork({ clock, log, settleMs: config.settleMs, checkMs: config.checkMs, signal, network: () => network, repair });
    },
    health: () => health,
    acceleration: () => acceleration,
  };
}

/** Deletions and changes of what is ours. Others' devices and routes come and go all day. */
function concernsUs(e: NetworkEvent, n: NodeNetwork | undefined): boolean {
  const devices = n?.devices ?? [];
  if (e.kind === 'overrun') return true;
  if (e.kind === 'link')
    return ourDevices.includes(e.link.name) || (e.deleted && e.link.name.startsWith('axo')) || changed(e.link, devices);
  if (e.kind === 'route') return e.deleted && e.route.protocol === OUR_PROTOCOL;
  return e.kind === 'address' && (e.address.ifindex === n?.host.ifindex || devices.some((d) => d.ifindex === e.address.ifindex));
}

const ourDevices: readonly string[] = [hostName, netName, vxlanName];
const changed = (link: Link, devices: readonly Link[]): boolean => {
  const known = devices.find((d) => d.name === link.name);
  return known !== undefined && (known.ifindex !== link.ifindex || known.mtu !== link.mtu || known.mac !== link.mac);
};

interface WatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly settleMs: number;
  readonly checkMs: number;
  readonly signal: AbortSignal;
  readonly network: () => NodeNetwork | undefined;
  readonly repair: () => void;
}

/** Notes events and acts at its own pace; a slow check catches what sends no event (programs taken off a hook). */
function watchNetwork(d: WatchDeps): void {
  let pending: Timer | undefined;
  let slow: Timer | undefined;
  const run = (): void => {
    pending = undefined;
    d.repair();
  };
  const mark = (): void => {
    pending ??= d.clock.after(d.settleMs, run);
  };
  const monitor: Monitor = createMonitor({
    onEvent: (e) => {
      if (concernsUs(e, d.network())) mark();
    },
    onError: (e) => d.log.warn('network monitor failed', { error: e }),
  });
  const tick = (): void => {
    mark();
    slow = d.clock.after(d.checkMs, tick);
  };
  slow = d.clock.after(d.checkMs, tick);
  d.signal.addEventListener('abort', () => {
    monitor.stop();
    pending?.cancel();
    slow?.cancel();
  });
}
