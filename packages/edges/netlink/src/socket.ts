// One rtnetlink socket: sends many requests at once, collects every acknowledgement, reads dumps. Synchronous.
// A socket keeps the network namespace it was opened in, so one opened inside `inNetns` can be used from outside later.
import { AppError } from '@axoneme/std';
import { check, errnoName, lastErrno, libcHandle } from './ffi.ts';
import { attributes, type Message, MessageWriter, messages, NLM, textOf } from './message.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BYTES = 128 * 1024;
const BATCH_MESSAGES = 128;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const ACK_CAPPED = 0x100;
const ACK_HAS_ATTRIBUTES = 0x200;
const DUMP_TRIES = 8;

/** One change or question. Build them with the functions of link.ts, address.ts, route.ts, neighbour.ts, rule.ts. */
export interface Request {
  /** For errors: `netlink/<operation>` and "what it was about". */
  readonly operation: string;
  readonly about: string;
  readonly type: number;
  readonly flags: number;
  readonly header: Uint8Array;
  readonly fill?: (m: MessageWriter) => void;
  /** errno names that count as success, e.g. EEXIST. */
  readonly tolerate?: readonly string[];
}

/** The same request, with these errors counted as success. */
export const tolerate = (r: Request, ...errnos: readonly string[]): Request => ({ ...r, tolerate: [...(r.tolerate ?? []), ...errnos] });

export interface Failure {
  readonly operation: string;
  readonly about: string;
  readonly errno: number;
  readonly errnoName: string;
  /** The kernel's own sentence (extack), often empty. */
  readonly text: string;
}

export class NetlinkSocket {
  readonly fd: number;
  #sequence = 0;
  readonly #receive = Buffer.alloc(RECEIVE_BYTES);
  #open = true;

  /** `groups`: bit mask of the legacy multicast groups, 0 for requests. `protocol`: NETLINK_ROUTE unless given. */
  constructor(groups = 0, protocol = 0) {
    const libc = libcHandle();
    this.fd = check('socket', libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), 'rtnetlink');
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    address.writeUInt32LE(groups >>> 0, 8);
    check('bind', libc.bind(this.fd, address, 12), 'rtnetlink');
    const on = Buffer.from([1, 0, 0, 0]);
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) libc.setsockopt(this.fd, SOL_NETLINK, option, on, 4);
    const room = Buffer.alloc(4);
    room.writeInt32LE(4 << 20);
    // beyond net.core.rmem_max where we may: lost events cost a full listing
    if (libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, room, 4) !== 0) libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, room, 4);
  }

  /** Applies all requests in order; the kernel does not stop at a failure. Throws for the first one, with all in `fields.failures`. */
  execute(requests: readonly Request[]): void {
    const failures = this.tryExecute(requests);
    if (failures.length > 0) throw failureError(failures);
  }

  tryExecute(requests: readonly Request[]): readonly Failure[] {
    const failures: Failure[] = [];
    for (let at = 0; at < requests.length; at += BATCH_MESSAGES) {
      this.#exchange(requests.slice(at, at + BATCH_MESSAGES), failures, () => undefined);
    }
    return failures;
  }

  /** One question with one answer; undefined when the kernel says ENODEV, ENOENT or ESRCH. */
  ask(request: Request): Message | undefined {
    let answer: Message | undefined;
    const failures: Failure[] = [];
    this.#exchange([request], failures, (m) => {
      answer = { ...m, payload: Buffer.from(m.payload) };
    });
    const failure = failures[0];
    if (failure === undefined) return answer;
    if (['ENODEV', 'ENOENT', 'ESRCH', 'ENXIO'].includes(failure.errnoName)) return undefined;
    throw failureError(failures);
  }

  /** All answers to a dump request, taken again when the table changed meanwhile. */
  dump<T>(request: Request, parse: (m: Message) => T | undefined): readonly T[] {
    for (let left = DUMP_TRIES; left > 0; left--) {
      const found = this.#dumpOnce(request, parse);
      if (found !== undefined) return found;
    }
    throw new AppError({ code: 'netlink/dump-interrupted', message: `${request.operation}: the table keeps changing`, retry: 'later' });
  }

  close(): void {
    if (this.#open) libcHandle().close(this.fd);
    this.#open = false;
  }

  /** Raw bytes that have arrived, undefined when none. For the monitor. */
  poll(): { readonly data: Buffer; readonly errno: 0 } | { readonly errno: number } {
    const MSG_DONTWAIT = 0x40;
    const n = Number(libcHandle().recv(this.fd, this.#receive, RECEIVE_BYTES, MSG_DONTWAIT));
    return n >= 0 ? { data: this.#receive.subarray(0, n), errno: 0 } : { errno: lastErrno() };
  }

  #exchange(requests: readonly Request[], failures: Failure[], onAnswer: (m: Message) => void): void {
    if (requests.length === 0) return;
    const writer = new MessageWriter();
    const first = this.#sequence + 1;
    for (const r of requests) write(writer, r, NLM.request | NLM.ack | r.flags, ++this.#sequence);
    this.#send(writer, requests[0]!.operation);
    for (let left = requests.length; left > 0; ) {
      for (const m of messages(this.#recv(requests[0]!.operation))) {
        const request = requests[m.sequence - first];
        if (request === undefined) continue; // a late answer to something given up
        if (m.type !== NLMSG_ERROR) onAnswer(m);
        else {
          left--;
          const failure = readAck(m, request);
          if (failure !== undefined) failures.push(failure);
        }
      }
    }
  }

  #dumpOnce<T>(request: Request, parse: (m: Message) => T | undefined): readonly T[] | undefined {
    const writer = new MessageWriter();
    const sequence = ++this.#sequence;
    write(writer, request, NLM.request | NLM.dump, sequence);
    this.#send(writer, request.operation);
    const found: T[] = [];
    let interrupted = false;
    for (;;) {
      for (const m of messages(this.#recv(request.operation))) {
        if (m.sequence !== sequence) continue;
        if ((m.flags & NLM.dumpInterrupted) !== 0) interrupted = true;
        if (m.type === NLMSG_DONE) return interrupted ? undefined : found;
        if (m.type === NLMSG_ERROR) throw failureError([readAck(m, request)!]);
        const value = parse(m);
        if (value !== undefined) found.push(value);
      }
    }
  }

  #send(writer: MessageWriter, operation: string): void {
    check(operation, libcHandle().send(this.fd, writer.bytes, writer.length, 0), 'send');
  }

  #recv(operation: string): Buffer {
    const n = check(operation, libcHandle().recv(this.fd, this.#receive, RECEIVE_BYTES, 0), 'receive');
    return this.#receive.subarray(0, n);
  }
}

function write(writer: MessageWriter, r: Request, flags: number, sequence: number): void {
  writer.begin(r.type, flags, sequence, r.header);
  r.fill?.(writer);
  writer.end();
}

function readAck(m: Message, request: Request): Failure | undefined {
  const errno = -m.payload.readInt32LE(0);
  const name = errnoName(errno);
  if (errno === 0 || (request.tolerate ?? []).includes(name)) return undefined;
  let text = '';
  if ((m.flags & ACK_HAS_ATTRIBUTES) !== 0) {
    const echoed = (m.flags & ACK_CAPPED) !== 0 ? 16 : m.payload.readUInt32LE(4);
    text = textOf(attributes(m.payload, 4 + echoed).get(1)) ?? '';
  }
  return { operation: request.operation, about: request.about, errno, errnoName: name, text };
}

function failureError(failures: readonly Failure[]): AppError {
  const f = failures[0]!;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  return new AppError({
    code: `netlink/${f.operation}`,
    message: `${f.operation} ${f.about}: ${f.errnoName}${f.text === '' ? '' : ` ${f.text}`}${more}`,
    ...(f.errnoName === 'EBUSY' ? { retry: 'later' as const } : {}),
    fields: { errno: f.errno, errnoName: f.errnoName, failures },
  });
}
