// Reads BPF ring buffers in place: the ring is mapped once and parsed in JavaScript, no copy and no call per event.
// One epoll descriptor waits for all rings while they are idle; while events flow a short timer drains them.
// Called by the agent's event reader. Losses are counted by the BPF program, not by the ring.
import { writeSync } from 'node:fs';
import { AppError } from '@axoneme/std';
import { MapType } from './constants.ts';
import { bpfError, check, errnoFrom } from './errors.ts';
import { closeFd, libcHandle, type Pointer, viewOf } from './ffi.ts';
import type { BpfMap } from './map.ts';

const PAGE = 4096;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const BUSY_BIT = 0x80000000;
const DISCARD_BIT = 0x40000000;
const TWO_32 = 2 ** 32;

/** `bytes` is the whole ring, valid only during the call: read fields at `offset`, do not keep it. */
export type RingHandler = (bytes: Buffer, offset: number, length: number) => void;

/** One mapped ring. Single consumer. */
export class Ring {
  readonly size: number;
  readonly #mask: number;
  readonly #consumer: BigInt64Array;
  readonly #producer: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  readonly #maps: readonly (readonly [at: Pointer, length: number])[];
  #position: number;
  #closed = false;

  constructor(map: BpfMap) {
    if (map.type !== MapType.ringbuf) throw new AppError({ code: 'bpf/not-a-ring', message: `map ${map.name} is no ring buffer` });
    this.size = map.maxEntries;
    this.#mask = this.size - 1;
    const dataLength = PAGE + 2 * this.size; // the kernel maps the data twice, so no event ever wraps
    const consumer = mapMemory(map, PAGE, PROT_READ | PROT_WRITE, 0);
    const producer = mapMemory(map, dataLength, PROT_READ, PAGE);
    this.#maps = [
      [consumer, PAGE],
      [producer, dataLength],
    ];
    this.#consumer = new BigInt64Array(viewOf(consumer, 8));
    const memory = viewOf(producer, dataLength);
    this.#producer = new Int32Array(memory, 0, 2);
    this.#words = new Int32Array(memory, PAGE);
    this.#bytes = Buffer.from(memory, PAGE, 2 * this.size);
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** Hands on up to `max` events; returns how many. An exception of `handler` loses only the event it saw. */
  drain(handler: RingHandler, max = Number.MAX_SAFE_INTEGER): number {
    if (this.#closed) return 0;
    let count = 0;
    let position = this.#position;
    try {
      for (let blocked = false; !blocked && count < max; ) {
        const produced = Atomics.load(this.#producer, 0) >>> 0;
        let available = (produced - (position % TWO_32) + TWO_32) % TWO_32;
        if (available === 0) break;
        while (available > 0 && count < max) {
          const at = position & this.#mask;
          const header = Atomics.load(this.#words, at >>> 2) >>> 0;
          if (header >= BUSY_BIT) {
            blocked = true; // reserved, not yet committed
            break;
          }
          const length = header & ~DISCARD_BIT;
          const step = (length + 15) & ~7;
          position += step;
          available -= step;
          if (header < DISCARD_BIT) {
            count++;
            handler(this.#bytes, at + 8, length);
          }
        }
      }
    } finally {
      if (position !== this.#position) Atomics.store(this.#consumer, 0, BigInt(position));
      this.#position = position;
    }
    return count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true; // touching the views after munmap would be fatal: drain() checks this
    for (const [at, length] of this.#maps) libcHandle().munmap(at, length);
  }
}

function mapMemory(map: BpfMap, length: number, protection: number, offset: number): Pointer {
  const at = libcHandle().mmap(null, length, protection, MAP_SHARED, map.fd, offset);
  if (at === null || at === 0xffffffffffffffffn || at === -1n) throw bpfError('mmap', errnoFrom(-1), map.name);
  return at;
}

export interface RingReaderOptions {
  readonly rings: readonly { readonly map: BpfMap; readonly onEvent: RingHandler }[];
  /** Called after a round that delivered events; flush aggregates here. */
  readonly onRound?: (events: number) => void;
  /** An exception of onEvent or onRound; the reader goes on. */
  readonly onError?: (error: unknown) => void;
  /** Timer between rounds while events flow. */
  readonly busyMs?: number;
  /** Most events per ring and round, so that a flood cannot hold the event loop. */
  readonly roundMax?: number;
}

export interface RingReader {
  readonly events: number;
  /** Resolves when nothing touches the rings any more. */
  stop(): Promise<void>;
}

const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EPOLL_CLOEXEC = 0o2000000;
const EFD_FLAGS = 0o2004000; // EFD_CLOEXEC | EFD_NONBLOCK
const IDLE_ROUNDS = 8;
const WAIT_MS = 200; // bounds process exit and covers producers that skip the wake-up

export function createRingReader(options: RingReaderOptions): RingReader {
  const busyMs = options.busyMs ?? 2;
  const roundMax = options.roundMax ?? 16_384;
  const rings = options.rings.map((r) => ({ ring: new Ring(r.map), onEvent: r.onEvent }));
  const epoll = check('epoll', libcHandle().epoll_create1(EPOLL_CLOEXEC), 'create');
  const wake = check('eventfd', libcHandle().eventfd(0, EFD_FLAGS), 'create');
  // kept in this closure for the reader's whole life: a pool thread writes here while we do not look
  const events = Buffer.alloc(16 * (rings.length + 1));
  for (const fd of [wake, ...options.rings.map((r) => r.map.fd)]) watch(epoll, fd);
  let total = 0;
  let idle = 0;
  let stopping: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;

  const guarded = (fn: () => void): void => {
    try {
      fn();
    } catch (e) {
      options.onError?.(e);
    }
  };
  const round = (): void => {
    timer = undefined;
    if (stopping !== undefined) {
      finish();
      return;
    }
    let n = 0;
    for (const { ring, onEvent } of rings) {
      guarded(() => {
        ring.drain((bytes, offset, length) => {
          n++;
          onEvent(bytes, offset, length);
        }, roundMax);
      });
    }
    total += n;
    if (n > 0) guarded(() => options.onRound?.(n));
    idle = n > 0 ? 0 : idle + 1;
    if (idle >= IDLE_ROUNDS) arm();
    else timer = setTimeout(round, busyMs);
  };
  const arm = (): void => {
    libcHandle().epoll_wait.async(epoll, events, rings.length + 1, WAIT_MS, (_error, ready) => {
      void events.length; // koffi does not keep Buffers of an async call alive: this closure does
      idle = ready > 0 ? 0 : IDLE_ROUNDS;
      round();
    });
  };
  const finish = (): void => {
    for (const { ring } of rings) ring.close();
    closeFd(epoll);
    closeFd(wake);
    stopping?.();
  };
  arm();
  return {
    get events() {
      return total;
    },
    stop: () =>
      new Promise<void>((resolve) => {
        if (stopping !== undefined) return resolve();
        stopping = resolve;
        if (timer !== undefined) {
          clearTimeout(timer);
          finish();
        } else writeSync(wake, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
      }),
  };
}

function watch(epoll: number, fd: number): void {
  // struct epoll_event is packed on x86-64 (12 bytes) and padded elsewhere; only `events` matters to us
  const event = Buffer.alloc(16);
  event.writeUInt32LE(EPOLLIN, 0);
  check('epoll', libcHandle().epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event), `add ${fd}`);
}
