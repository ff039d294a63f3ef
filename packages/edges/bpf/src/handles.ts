// Programs and links as handles with a life; pins for all three kinds. Called by the agent's datapath loader and by packet tests.
import { mkdirSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { bpfError, check, E, errnoFrom } from './errors.ts';
import { closeFd, libbpfHandle } from './ffi.ts';
import { type LinkInfo, linkInfo, type ProgInfo, progInfo } from './info.ts';
import { type TestRunInput, type TestRunResult, testRun } from './test-run.ts';

/** Pins a descriptor, creating the directories above it. Fails with EEXIST when something is pinned there. */
export function pinFd(fd: number, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  check('pin', libbpfHandle().obj_pin(fd, path), path);
}

/** Removes a pin; absent is fine. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw e;
  }
}

/** New descriptor for what is pinned, or undefined when nothing is. */
export function openPin(path: string): number | undefined {
  const fd = libbpfHandle().obj_get(path);
  if (fd >= 0) return fd;
  const errno = errnoFrom(fd);
  if (errno === E.NOENT) return undefined;
  throw bpfError('open-pin', errno, path);
}

export class BpfProgram {
  readonly fd: number;
  readonly name: string;
  readonly type: number;
  readonly attachType: number;
  readonly #owned: boolean;
  /** `owned`: close() closes the descriptor; programs of an object belong to the object. */
  constructor(fd: number, known: { readonly name: string; readonly type: number; readonly attachType: number }, owned: boolean) {
    this.fd = fd;
    this.name = known.name;
    this.type = known.type;
    this.attachType = known.attachType;
    this.#owned = owned;
  }
  info(): ProgInfo {
    return progInfo(this.fd);
  }
  pin(path: string): void {
    pinFd(this.fd, path);
  }
  testRun(input: TestRunInput): TestRunResult {
    return testRun(this.fd, input);
  }
  close(): void {
    if (this.#owned) closeFd(this.fd);
  }
}

export function pinnedProgram(path: string): BpfProgram | undefined {
  const fd = openPin(path);
  if (fd === undefined) return undefined;
  const info = progInfo(fd);
  // the kernel does not tell the expected attach type of a program; callers of pinned cgroup programs pass it
  return new BpfProgram(fd, { name: info.name, type: info.type, attachType: 0 }, true);
}

export class BpfLink {
  readonly fd: number;
  constructor(fd: number) {
    this.fd = fd;
  }
  info(): LinkInfo {
    return linkInfo(this.fd);
  }
  /** Swaps the program atomically; works from any network namespace. ENOLINK when the device is gone. */
  update(program: BpfProgram): void {
    check('link-update', libbpfHandle().link_update(this.fd, program.fd, null), program.name);
  }
  pin(path: string): void {
    pinFd(this.fd, path);
  }
  /** Takes the program off the hook now, whoever else still holds the link. */
  detach(): void {
    check('link-detach', libbpfHandle().link_detach(this.fd), `link ${this.fd}`);
  }
  /** Closes the descriptor; without a pin this also detaches. */
  close(): void {
    closeFd(this.fd);
  }
}

export function pinnedLink(path: string): BpfLink | undefined {
  const fd = openPin(path);
  return fd === undefined ? undefined : new BpfLink(fd);
}
