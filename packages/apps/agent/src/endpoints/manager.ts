// The pods of this node: made at CNI ADD, given an identity, kept through restarts, repaired, removed. Works alone when the operator is
// away. Called by the CNI server (requests) and wiring (workloads, node configuration, repairs).
import { getLink } from '@axoneme/netlink';
import { AppError, describeError, type Log } from '@axoneme/std';
import type { Datapath } from '../datapath/datapath.ts';
import type { NodeView } from '../datapath/node-view.ts';
import { initIdentity, type PodInterface } from '../datapath/rows.ts';
import type { Addresses } from './addresses.ts';
import { type Attachment, addResult, type CniRequest, cniCode } from './cni-types.ts';
import { createEndpointRows } from './endpoint-rows.ts';
import {
  createNetnsCookies,
  createPodLink,
  createUnlinker,
  hostIfnameOf,
  inspectPodLink,
  macOf,
  netnsExists,
  type PodLinkSpec,
  removePodLink,
  sameNetns,
  startPodLink,
} from './pod-network.ts';
import { type Endpoint, endpointKey, type Registry } from './registry.ts';
import type { Workloads } from './workloads.ts';

export type EndpointState = 'ready' | 'waiting-for-identity' | 'disconnected';

export interface EndpointStatus extends Endpoint {
  readonly identity: number;
  readonly state: EndpointState;
}

export interface EndpointManager {
  add(r: CniRequest): Promise<Record<string, unknown>>;
  /** Never fails: what is gone is gone. */
  del(r: CniRequest): Promise<void>;
  check(r: CniRequest): Promise<void>;
  /** Removes what is not valid, but nothing that came a moment ago: whoever asks may not have known of it when he looked. */
  gc(valid: readonly Attachment[]): Promise<void>;
  /** Throws with CNI code 50 while no pod can be made. */
  status(): void;
  /** New blocks or routers. */
  setView(view: NodeView): void;
  /** After a restart or a foreign change: devices, programs and rows of all endpoints as they should be; endpoints without a namespace go. */
  restore(): void;
  /** Rows of the endpoints that have a device, and only those. */
  fillRows(): void;
  list(): readonly EndpointStatus[];
  /** An endpoint was made, changed or (`deleted`) removed. */
  onChange(listener: (e: EndpointStatus, deleted: boolean) => void): void;
}

export interface ManagerDeps {
  readonly datapath: Datapath;
  readonly registry: Registry;
  readonly addresses: Addresses;
  readonly workloads: Workloads;
  /** A complete commit is in the kernel. */
  readonly complete: () => boolean;
  /** An operator is connected, so that waiting for an identity makes sense. */
  readonly connected: () => boolean;
  readonly identityWaitMs: number;
  readonly log: Log;
}

/** What a runtime says is alive is at most so old when it arrives. A leftover that is younger is for the next time. */
const GC_LATE_MS = 5_000;

const cniError = (cni: number, code: string, message: string, hint?: string): AppError =>
  new AppError({ code, message, retry: 'later', fields: { cni }, ...(hint === undefined ? {} : { hint }) });

export function createEndpointManager(d: ManagerDeps): EndpointManager {
  const { datapath, registry, addresses, workloads, log } = d;
  const rows = createEndpointRows(datapath.tables);
  const listeners: ((e: EndpointStatus, deleted: boolean) => void)[] = [];
  const unlinker = createUnlinker(datapath.socket);
  const queues = new Map<string, Promise<unknown>>();
  /** When an ADD was answered, by endpoint; of this process, and as long as it matters. */
  const added = new Map<string, number>();
  let view: NodeView | undefined;

  for (const e of registry.all()) for (const a of [e.ipv4, e.ipv6]) if (a !== '') addresses.claim(a);

  const identityOf = (e: Endpoint): number | undefined => workloads.identityOf(e);
  const statusOf = (e: Endpoint): EndpointStatus => {
    const identity = identityOf(e);
    const state = e.ifindex === 0 ? 'disconnected' : identity === undefined && e.pod !== '' ? 'waiting-for-identity' : 'ready';
    return { ...e, identity: identity ?? initIdentity, state };
  };
  const tell = (e: Endpoint, deleted = false): void => {
    for (const l of listeners) l(statusOf(e), deleted);
  };
  const cookies = createNetnsCookies();
  const interfaceOf = (e: Endpoint): PodInterface => ({
    ...e,
    identity: identityOf(e) ?? initIdentity,
    audit: workloads.audited(e),
    netnsCookie: cookies.of(e),
  });
  const linkSpec = (e: Endpoint, v: NodeView): PodLinkSpec => ({
    ...e,
    mtu: datapath.network?.mtu ?? 0,
    router4: v.router4,
    router6: v.router6,
    alias: `axoneme ${e.namespace}/${e.pod}`,
  });
  /** Requests about one attachment run one after another, whatever the runtime does. */
  const inTurn = <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = queues.get(key) ?? Promise.resolve();
    const next = before.catch(() => undefined).then(work);
    const tail = next
      .catch(() => undefined)
      .finally(() => {
        if (queues.get(key) === tail) queues.delete(key);
      });
    queues.set(key, tail);
    return next;
  };

  const ready = (): NodeView => {
    if (!view || !datapath.network) {
      throw cniError(cniCode.notAvailable, 'agent/not-ready', 'the network of this node is not set up yet', 'waiting for the operator');
    }
    if (!d.complete()) throw cniError(cniCode.notAvailable, 'agent/not-ready', 'no complete policy has been applied on this node yet');
    if (addresses.families().length === 0) {
      throw cniError(cniCode.notAvailable, 'agent/no-blocks', 'this node has no pod address block yet', 'see the CiliumNode of this node');
    }
    return view;
  };

  const takeAddresses = (): { ipv4: string; ipv6: string } => {
    const taken: string[] = [];
    const take = (family: 4 | 6): string => {
      if (!addresses.families().includes(family)) return '';
      const r = addresses.take(family);
      if (r.ok) {
        taken.push(r.value);
        return r.value;
      }
      for (const a of taken) addresses.release(a);
      throw cniError(cniCode.noAddress, r.error.code, r.error.message, r.error.hint);
    };
    return { ipv4: take(4), ipv6: take(6) };
  };

  /** Durable before it is visible: id and addresses are on disk when this resolves. */
  const allocate = async (r: CniRequest): Promise<Endpoint> => {
    const id = registry.freeId();
    if (!id.ok) throw id.error;
    const ips = takeAddresses();
    const e: Endpoint = {
      id: id.value,
      containerId: r.containerId,
      ifname: r.ifname,
      netns: r.netns,
      namespace: r.args.K8S_POD_NAMESPACE ?? '',
      pod: r.args.K8S_POD_NAME ?? '',
      podUid: r.args.K8S_POD_UID ?? '',
      ...ips,
      mac: macOf(r.containerId, r.ifname, 'pod'),
      hostMac: macOf(r.containerId, r.ifname, 'host'),
      hostIfname: hostIfnameOf(r.containerId, r.ifname),
      ifindex: 0,
    };
    try {
      await registry.put(e);
    } catch (error) {
      for (const a of [e.ipv4, e.ipv6]) if (a !== '') addresses.release(a);
      throw error;
    }
    return e;
  };

  /** Pair, rows, programs, then up: no packet passes before its sender is known. */
  const plumb = (e: Endpoint, v: NodeView): Endpoint => {
    const spec = linkSpec(e, v);
    try {
      const host = createPodLink(datapath.socket, spec);
      const made = { ...e, ifindex: host.ifindex, hostMac: host.mac };
      rows.put(interfaceOf(made));
      datapath.attachPod(e.hostIfname, host.ifindex);
      startPodLink(datapath.socket, spec, host);
      return made;
    } catch (error) {
      unplumb(e);
      throw error;
    }
  };
  const unplumb = (e: Endpoint): void => {
    const ifindex = e.ifindex || (getLink(datapath.socket, e.hostIfname)?.ifindex ?? 0);
    rows.remove({ ...e, ifindex, netnsCookie: cookies.forget(e) });
    removePodLink(datapath.socket, e.hostIfname);
    datapath.detachPod(e.hostIfname);
  };
  const forget = async (e: Endpoint): Promise<void> => {
    for (const a of [e.ipv4, e.ipv6]) if (a !== '') addresses.release(a);
    added.delete(endpointKey(e.containerId, e.ifname));
    await registry
      .remove(endpointKey(e.containerId, e.ifname))
      .catch((error: unknown) => log.error('endpoint file not written', { endpoint: e.id, error: describeError(error) }));
    tell(e, true);
  };
  const removeEndpoint = async (e: Endpoint): Promise<void> => {
    try {
      const ifindex = e.ifindex || (getLink(datapath.socket, e.hostIfname)?.ifindex ?? 0);
      rows.remove({ ...e, ifindex, netnsCookie: cookies.forget(e) });
      await unlinker.remove(e.hostIfname);
      datapath.detachPod(e.hostIfname);
    } catch (error) {
      log.error('endpoint not removed cleanly', { endpoint: e.id, error: describeError(error) });
    }
    await forget(e);
    log.info('endpoint removed', { endpoint: e.id, namespace: e.namespace, pod: e.pod });
  };

  const isPlumbed = (e: Endpoint, r: { readonly netns: string }): boolean => {
    const link = e.ifindex === 0 ? undefined : getLink(datapath.socket, e.hostIfname);
    return link?.ifindex === e.ifindex && sameNetns(e.netns, r.netns) && inspectPodLink(e) === undefined;
  };
  const resultOf = (e: Endpoint, r: CniRequest, v: NodeView): Record<string, unknown> => {
    const ips = [
      { address: e.ipv4, gateway: v.router4 },
      { address: e.ipv6, gateway: v.router6 },
    ].filter((i) => i.address !== '');
    return addResult(r.conf.cniVersion, { ...e, sandbox: r.netns, mtu: datapath.network?.mtu ?? 0, ips });
  };
  const add = async (r: CniRequest): Promise<Record<string, unknown>> => {
    const v = ready();
    if (!netnsExists(r.netns)) throw cniError(cniCode.environment, 'agent/no-netns', `there is no network namespace at ${r.netns}`);
    const key = endpointKey(r.containerId, r.ifname);
    const known = registry.get(key);
    if (known && isPlumbed(known, r)) return resultOf(known, r, v);
    if (known) await removeEndpoint(known);
    const allocated = await allocate(r);
    await workloads.wait(allocated, allocated.pod !== '' && d.connected() ? d.identityWaitMs : 0);
    let made: Endpoint;
    try {
      made = plumb(allocated, v);
      await registry.put(made);
    } catch (error) {
      await removeEndpoint(registry.get(key) ?? allocated);
      throw error;
    }
    added.set(key, performance.now());
    tell(made);
    const { identity, state } = statusOf(made);
    log.info('endpoint added', {
      endpoint: made.id,
      namespace: made.namespace,
      pod: made.pod,
      ipv4: made.ipv4,
      ipv6: made.ipv6,
      identity,
      state,
    });
    return resultOf(made, r, v);
  };
  const check = (r: CniRequest): void => {
    const e = registry.get(endpointKey(r.containerId, r.ifname));
    if (!e)
      throw cniError(
        cniCode.unknownContainer,
        'agent/unknown-container',
        `no interface ${r.ifname} was added for container ${r.containerId}`,
      );
    const link = getLink(datapath.socket, e.hostIfname);
    const wrong =
      link?.ifindex !== e.ifindex
        ? `host interface ${e.hostIfname} is missing`
        : !link.up
          ? `host interface ${e.hostIfname} is down`
          : !netnsExists(r.netns)
            ? `there is no network namespace at ${r.netns}`
            : (inspectPodLink({ ...e, netns: r.netns }) ??
              (rows.has(interfaceOf(e)) ? undefined : 'the endpoint is missing in the datapath'));
    if (wrong !== undefined) throw cniError(cniCode.failed, 'agent/check-failed', wrong);
  };

  /** Device still there: programs again (kept when right). Device gone but pod alive: made anew. Pod gone: forgotten. */
  const restoreOne = (e: Endpoint, v: NodeView): Endpoint | undefined => {
    const link = getLink(datapath.socket, e.hostIfname);
    if (link) {
      datapath.attachPod(e.hostIfname, link.ifindex);
      return link.ifindex === e.ifindex ? e : { ...e, ifindex: link.ifindex };
    }
    // an ADD under way has no device yet
    if (queues.has(endpointKey(e.containerId, e.ifname))) return e;
    if (!netnsExists(e.netns)) return undefined;
    log.warn('interface of a pod is gone, making it anew', { endpoint: e.id, namespace: e.namespace, pod: e.pod });
    return plumb(e, v);
  };
  const fillRows = (): void => {
    const present = registry.all().filter((e) => e.ifindex > 0);
    const changed = rows.reconcile(present.map(interfaceOf), datapath.hostRows());
    if (changed > 0) log.info('endpoint rows corrected', { changed });
  };
  const restore = (): void => {
    if (!view || !datapath.network) return;
    for (const e of registry.all()) {
      try {
        const now = restoreOne(e, view);
        if (now === undefined) void inTurn(endpointKey(e.containerId, e.ifname), () => removeEndpoint(e));
        else if (now !== e) void registry.put(now).catch((error: unknown) => log.error('endpoint file not written', { error }));
      } catch (error) {
        log.error('endpoint not restored', { endpoint: e.id, error: describeError(error) });
      }
    }
    fillRows();
    const names = new Set(registry.all().map((e) => e.hostIfname));
    for (const name of datapath.podPins()) if (!names.has(name)) datapath.detachPod(name);
  };

  workloads.onChange((namespace, pod) => {
    for (const e of registry.all()) {
      if (e.namespace !== namespace || e.pod !== pod || e.ifindex === 0) continue;
      rows.put(interfaceOf(e));
      tell(e);
    }
  });

  return {
    add: (r) => inTurn(endpointKey(r.containerId, r.ifname), () => add(r)),
    del: (r) => {
      const key = endpointKey(r.containerId, r.ifname);
      return inTurn(key, async () => {
        const e = registry.get(key);
        if (e) await removeEndpoint(e);
      });
    },
    check: (r) => inTurn(endpointKey(r.containerId, r.ifname), async () => check(r)),
    async gc(valid) {
      const keep = new Set(valid.map((a) => endpointKey(a.containerId, a.ifname)));
      const now = performance.now();
      for (const [key, at] of added) if (now - at > GC_LATE_MS) added.delete(key);
      const spared = (key: string): boolean => keep.has(key) || queues.has(key) || added.has(key);
      const gone = registry.all().filter((e) => !spared(endpointKey(e.containerId, e.ifname)));
      await Promise.all(gone.map((e) => inTurn(endpointKey(e.containerId, e.ifname), () => removeEndpoint(e))));
    },
    status: () => void ready(),
    setView(v) {
      view = v;
      addresses.setBlocks(v.blocks);
    },
    restore,
    fillRows,
    list: () => registry.all().map(statusOf),
    onChange: (listener) => void listeners.push(listener),
  };
}
