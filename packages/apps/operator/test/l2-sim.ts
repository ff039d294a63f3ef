// A cluster on a fake clock for the duty about announced addresses: leaders that come and go, durable Leases, nodes behind links that stall, break and
// heal. Compile part and duty are the real ones; hub and agent are models that keep the promises of the stream.

import type { L2Record } from '@axoneme/ipam';
import type { IpAddr } from '@axoneme/model';
import { AppError, type Digest, silentLog } from '@axoneme/std';
import { createFakeClock, createRandom, type SeededRandom } from '@axoneme/testkit';
import { createL2Part, type L2Part } from '../src/compile/l2.ts';
import { createL2Duty, type L2Duty } from '../src/leader/l2.ts';
import type { L2Store } from '../src/leader/l2-store.ts';
import { projectNode } from '../src/world/project.ts';
import type { L2LeaseRow } from '../src/world/rows.ts';
import { createWorld, type World } from '../src/world/world.ts';

export const VALID_MS = 3000;
const RENEW_MS = 1000;

type Message = () => void;

/** One direction of a connection: in order, late, and while it stalls nothing arrives. */
class Pipe {
  private queue: Message[] = [];
  private free = 0;
  stalled = false;
  closed = false;
  private readonly sim: Sim;
  constructor(sim: Sim) {
    this.sim = sim;
  }
  send(m: Message): void {
    this.queue.push(m);
    const slow = this.sim.rough && this.sim.random.bool(0.1) ? 600 : 0;
    const due = Math.max(this.free, this.sim.clock.monotonicMs() + 1 + this.sim.random.int(0, 40 + slow));
    this.free = due;
    this.sim.clock.after(due - this.sim.clock.monotonicMs(), () => this.drain());
  }
  /** What was sent meanwhile arrives now. */
  drain(): void {
    if (this.stalled) return;
    const due = this.queue;
    this.queue = [];
    for (const m of due) if (!this.closed) m();
  }
}

interface Stream {
  readonly up: Pipe;
  readonly down: Pipe;
  readonly leader: Leader;
}

/** What an agent does: holds what it was told, asks, and announces until its time is over. */
export class SimNode {
  readonly name: string;
  held: ReadonlySet<IpAddr> = new Set();
  digest: Digest | undefined;
  until = 0;
  /** Takes no commit, and asks all the same. */
  deaf = false;
  stream: Stream | undefined;
  running = true;
  constructor(name: string) {
    this.name = name;
  }
  announces(now: number): readonly IpAddr[] {
    return now <= this.until ? [...this.held] : [];
  }
}

interface Link {
  stream: Stream;
  held: Digest | undefined;
  known: boolean;
  inflight: boolean;
}

/** One period of leadership, with the memory of its process. */
export class Leader {
  readonly world: World = createWorld();
  readonly part: L2Part;
  duty: L2Duty;
  readonly links = new Map<string, Link>();
  dead = false;
  private running = false;
  private readonly sim: Sim;
  constructor(sim: Sim) {
    this.sim = sim;
    this.part = createL2Part({ l2AnnouncementsEnabled: true, l2LeaseRetryPeriod: `${RENEW_MS}ms` });
    const store: L2Store = { namespace: 'ns', write: (next, held) => sim.write(this, next, held) };
    for (const [table, key, row] of sim.objects()) this.world.set(table as 'l2Policies', key, row as never);
    this.duty = createL2Duty(
      { world: this.world, part: this.part, holding: (n) => this.holding(n), store, clock: sim.clock, log: silentLog },
      VALID_MS,
    );
    this.world.onChange(() => sim.clock.after(4, () => this.compile()));
    this.compile();
    const tick = (): void => {
      if (this.dead) return;
      if (!this.running) {
        this.running = true;
        void this.duty
          .run()
          .catch(() => undefined)
          .finally(() => {
            this.running = false;
          });
      }
      sim.clock.after(100, tick);
    };
    tick();
  }
  compile(): void {
    if (this.dead) return;
    this.part.update(this.world.tables, this.world.takeDirty());
    for (const node of this.links.keys()) this.pump(node);
  }
  private holding(node: string): { digest: Digest | undefined } | undefined {
    const l = this.links.get(node);
    if (l === undefined || !l.known || l.inflight || l.held !== this.part.digest(node)) return undefined;
    return { digest: l.held };
  }
  private pump(node: string): void {
    const l = this.links.get(node);
    const digest = this.part.digest(node);
    if (l === undefined || !l.known || l.inflight || l.held === digest) return;
    l.inflight = true;
    const content = this.part.content(node);
    const n = this.sim.node(node);
    const applied = (): void => {
      if (n.stream !== l.stream || !n.running || n.deaf) return;
      n.held = content;
      n.digest = digest;
      this.sim.ask(n);
      l.stream.up.send(() => {
        if (this.dead || this.links.get(node) !== l) return;
        l.inflight = false;
        l.held = digest;
        this.duty.sign(node);
        this.pump(node);
      });
    };
    // a commit takes its time, and answers to questions pass it by
    const busy = this.sim.rough && this.sim.random.bool(0.2) ? 1500 : 50;
    l.stream.down.send(() => this.sim.clock.after(this.sim.random.int(0, busy), applied));
  }
  hello(node: SimNode, stream: Stream): void {
    if (this.dead) return;
    if (this.links.has(node.name)) this.duty.disconnected(node.name);
    this.links.set(node.name, { stream, held: node.digest, known: true, inflight: false });
    this.duty.connected(node.name);
    this.pump(node.name);
  }
  gone(stream: Stream): void {
    for (const [name, l] of this.links) {
      if (l.stream !== stream) continue;
      this.links.delete(name);
      if (!this.dead) this.duty.disconnected(name);
    }
  }
}

export class Sim {
  readonly clock = createFakeClock();
  readonly random: SeededRandom;
  readonly nodes = new Map<string, SimNode>();
  leader: Leader | undefined;
  /** The API server: Leases, policies, Services, Nodes. */
  private readonly leases = new Map<string, L2LeaseRow>();
  private readonly rest: (readonly [string, string, unknown])[] = [];
  private version = 0;
  /** What is wrong, in words. */
  readonly faults: string[] = [];
  /** Times an address was announced by another node than before. */
  moves = 0;
  private readonly last = new Map<IpAddr, string>();
  apiDown = false;
  /** Longest time of a write. */
  apiMs = 30;
  /** Some things take long. */
  rough = false;

  constructor(seed: number, nodes: number, addresses: readonly string[]) {
    this.random = createRandom(seed);
    for (let i = 1; i <= nodes; i++) this.addNode(`n${i}`);
    this.put('l2Policies', 'p', { metadata: { name: 'p' }, spec: { loadBalancerIPs: true } });
    const status = { loadBalancer: { ingress: addresses.map((ip) => ({ ip })) } };
    this.put('services', 'default/s', { metadata: { namespace: 'default', name: 's' }, spec: { type: 'LoadBalancer' }, status });
  }
  node(name: string): SimNode {
    const n = this.nodes.get(name);
    if (n === undefined) throw new AppError({ code: 'test/no-node', message: name });
    return n;
  }
  objects(): (readonly [string, string, unknown])[] {
    return [...this.rest, ...[...this.leases].map(([key, row]) => ['l2Leases', key, row] as const)];
  }
  put(table: string, key: string, row: unknown): void {
    const i = this.rest.findIndex(([t, k]) => t === table && k === key);
    if (i >= 0) this.rest.splice(i, 1);
    this.rest.push([table, key, row]);
    this.leader?.world.set(table as 'l2Policies', key, row as never);
  }
  private addNode(name: string): void {
    this.put('nodes', name, projectNode({ metadata: { name, labels: { 'kubernetes.io/hostname': name } } }));
    const n = new SimNode(name);
    this.nodes.set(name, n);
    const beat = (): void => {
      this.ask(n);
      this.clock.after(RENEW_MS, beat);
    };
    this.clock.after(this.random.int(0, RENEW_MS), beat);
  }
  /** Writes as the API server does, in its own time; now and then it does so and nobody hears of it. */
  async write(by: Leader, next: L2Record | undefined, held: L2LeaseRow | undefined): Promise<L2LeaseRow | undefined | 'refused'> {
    await this.clock.sleep(1 + this.random.int(0, this.rough && this.random.bool(0.1) ? 600 : this.apiMs));
    if (this.apiDown) throw new AppError({ code: 'test/api', message: 'away' });
    const address = next?.address ?? held?.record.address;
    if (address === undefined) return undefined;
    const key = `ns/${address}`;
    if (this.leases.get(key)?.resourceVersion !== held?.resourceVersion) return 'refused';
    const row: L2LeaseRow | undefined =
      next === undefined ? undefined : { name: address, uid: 'u', resourceVersion: String(++this.version), record: next };
    if (row === undefined) this.leases.delete(key);
    else this.leases.set(key, row);
    const told = (): void => {
      const leader = this.leader;
      if (leader === undefined || leader.dead) return;
      const now = this.leases.get(key);
      if (now === undefined) leader.world.remove('l2Leases', key);
      else leader.world.set('l2Leases', key, now);
    };
    this.clock.after(5 + this.random.int(0, 60), told);
    if (this.rough && this.random.int(0, 20) === 0) throw new AppError({ code: 'test/api', message: 'the answer was lost' });
    if (by.dead) throw new AppError({ code: 'test/dead', message: 'nobody is there' });
    return row;
  }
  ask(n: SimNode): void {
    const s = n.stream;
    if (s === undefined || !n.running) return;
    const asked = this.clock.monotonicMs();
    s.up.send(() => {
      if (s.leader.dead || s.leader.links.get(n.name)?.stream !== s) return;
      const validMs = s.leader.duty.ask(n.name);
      if (validMs > 0)
        s.down.send(() => {
          if (n.running && n.stream === s) n.until = Math.max(n.until, asked + validMs);
        });
    });
  }
  connect(n: SimNode): void {
    const leader = this.leader;
    if (leader === undefined || leader.dead || !n.running) return;
    this.disconnect(n);
    const stream: Stream = { up: new Pipe(this), down: new Pipe(this), leader };
    n.stream = stream;
    stream.up.send(() => leader.hello(n, stream));
  }
  /** The node sees it at once, the operator when it hears of it. */
  disconnect(n: SimNode, heard = true): void {
    const s = n.stream;
    if (s === undefined) return;
    n.stream = undefined;
    s.down.closed = true;
    if (heard) this.clock.after(1 + this.random.int(0, 50), () => s.leader.gone(s));
    else s.up.stalled = true;
  }
  stall(n: SimNode, on: boolean): void {
    for (const p of n.stream === undefined ? [] : [n.stream.up, n.stream.down]) {
      p.stalled = on;
      if (!on) p.drain();
    }
  }
  lead(): void {
    this.unlead();
    this.leader = new Leader(this);
  }
  unlead(): void {
    if (this.leader === undefined) return;
    this.leader.dead = true;
    this.leader = undefined;
    for (const n of this.nodes.values()) this.disconnect(n);
  }
  /** Somebody deletes a Lease by hand. */
  drop(address: string): void {
    if (this.leases.delete(`ns/${address}`)) this.clock.after(10, () => this.leader?.world.remove('l2Leases', `ns/${address}`));
  }
  owners(): Map<IpAddr, string[]> {
    const out = new Map<IpAddr, string[]>();
    for (const n of this.nodes.values()) for (const a of n.announces(this.clock.monotonicMs())) out.set(a, [...(out.get(a) ?? []), n.name]);
    return out;
  }
  /** Looks every few milliseconds. */
  async run(ms: number): Promise<void> {
    const end = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < end) {
      await this.clock.advanceAsync(10);
      for (const [address, names] of this.owners()) {
        if (names.length > 1) this.faults.push(`${this.clock.monotonicMs()} ms: ${address} is announced by ${names.join(' and ')}`);
        const before = this.last.get(address);
        if (before !== undefined && before !== names[0]) this.moves += 1;
        this.last.set(address, names[0]!);
      }
    }
  }
}
