// The libc functions behind sockets, namespaces and mounts, bound on first use. Called by the other files of this package.
// Types are anonymous (`void *`): named koffi types clash when jest loads a module twice.
import { AppError } from '@axoneme/std';
import koffi from 'koffi';

type Bytes = Uint8Array | null;

export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Bytes, length: number): number;
  send(fd: number, data: Bytes, length: number, flags: number): number;
  sendto(fd: number, data: Bytes, length: number, flags: number, address: Bytes, addressLength: number): number;
  recv(fd: number, data: Bytes, length: number, flags: number): number;
  setsockopt(fd: number, level: number, option: number, value: Bytes, length: number): number;
  close(fd: number): number;
  setns(fd: number, type: number): number;
  unshare(flags: number): number;
  mount(source: string, target: string, type: string, flags: bigint, data: string | null): number;
  umount2(target: string, flags: number): number;
}

let libc: Libc | undefined;

export function libcHandle(): Libc {
  libc ??= bindLibc();
  return libc;
}

function bindLibc(): Libc {
  const lib = koffi.load('libc.so.6');
  const bind = <T>(signature: string): T => lib.func(signature) as unknown as T;
  return {
    socket: bind('int socket(int domain, int type, int protocol)'),
    bind: bind('int bind(int fd, const void *address, uint32_t length)'),
    send: bind('int64_t send(int fd, const void *data, size_t length, int flags)'),
    sendto: bind('int64_t sendto(int fd, const void *data, size_t length, int flags, const void *address, uint32_t address_length)'),
    recv: bind('int64_t recv(int fd, void *data, size_t length, int flags)'),
    setsockopt: bind('int setsockopt(int fd, int level, int option, const void *value, uint32_t length)'),
    close: bind('int close(int fd)'),
    setns: bind('int setns(int fd, int type)'),
    unshare: bind('int unshare(int flags)'),
    mount: bind('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)'),
    umount2: bind('int umount2(const char *target, int flags)'),
  };
}

export const lastErrno = (): number => koffi.errno();

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
export const errnoName = (errno: number): string => NAMES.get(errno) ?? `E${errno}`;

/** Passes results >= 0 on; throws `netlink/<operation>` with errno otherwise. */
export function check(operation: string, result: number | bigint, detail: string): number {
  const n = Number(result);
  if (n >= 0) return n;
  const errno = lastErrno();
  throw new AppError({
    code: `netlink/${operation}`,
    message: `${operation} ${detail}: ${errnoName(errno)}`,
    fields: { errno, errnoName: errnoName(errno) },
  });
}
