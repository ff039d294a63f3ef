// The only place that binds C functions: libbpf.so.1 and libc. Bound on first use, so that importing this package never fails.
// Called by every other file here. Types are anonymous (`void *`): named koffi types clash when jest loads a module twice.
import { AppError } from '@axoneme/std';
import koffi, { type LibraryHandle } from 'koffi';

export type Pointer = bigint;
type Ptr = Uint8Array | Pointer | null;
/** A bound function that can also run on a libuv pool thread. The caller keeps every Buffer argument reachable until `done`. */
export interface Bound<A extends readonly unknown[], R> {
  (...args: A): R;
  async(...args: [...A, (error: Error | null, result: R) => void]): void;
}

export interface Libbpf {
  readonly major: number;
  readonly minor: number;
  readonly open_file: Bound<[string, Ptr], Pointer | null>;
  readonly open_mem: Bound<[Ptr, number, Ptr], Pointer | null>;
  readonly load: Bound<[Pointer], number>;
  readonly close: Bound<[Pointer], void>;
  readonly next_map: Bound<[Pointer, Pointer | null], Pointer | null>;
  readonly next_program: Bound<[Pointer, Pointer | null], Pointer | null>;
  readonly find_map: Bound<[Pointer, string], Pointer | null>;
  readonly object_btf: Bound<[Pointer], Pointer | null>;
  readonly map_name: Bound<[Pointer], string>;
  readonly map_fd: Bound<[Pointer], number>;
  readonly map_type: Bound<[Pointer], number>;
  readonly map_key_size: Bound<[Pointer], number>;
  readonly map_value_size: Bound<[Pointer], number>;
  readonly map_max_entries: Bound<[Pointer], number>;
  readonly map_flags: Bound<[Pointer], number>;
  readonly map_set_max_entries: Bound<[Pointer, number], number>;
  readonly map_set_pin_path: Bound<[Pointer, string], number>;
  readonly map_pin_path: Bound<[Pointer], string | null>;
  readonly map_initial_value: Bound<[Pointer, Ptr], Pointer | null>;
  readonly prog_fd: Bound<[Pointer], number>;
  readonly prog_name: Bound<[Pointer], string>;
  readonly prog_type: Bound<[Pointer], number>;
  readonly prog_attach_type: Bound<[Pointer], number>;
  readonly prog_set_autoload: Bound<[Pointer, boolean], number>;
  readonly btf_find: Bound<[Pointer, string, number], number>;
  readonly btf_type: Bound<[Pointer, number], Pointer | null>;
  readonly btf_name: Bound<[Pointer, number], string | null>;
  readonly map_create: Bound<[number, string, number, number, number, Ptr], number>;
  readonly update_elem: Bound<[number, Ptr, Ptr, bigint], number>;
  readonly lookup_elem: Bound<[number, Ptr, Ptr], number>;
  readonly delete_elem: Bound<[number, Ptr], number>;
  readonly next_key: Bound<[number, Ptr, Ptr], number>;
  readonly update_batch: Bound<[number, Ptr, Ptr, Ptr, Ptr], number>;
  readonly lookup_batch: Bound<[number, Ptr, Ptr, Ptr, Ptr, Ptr, Ptr], number>;
  readonly take_batch: Bound<[number, Ptr, Ptr, Ptr, Ptr, Ptr, Ptr], number>;
  readonly delete_batch: Bound<[number, Ptr, Ptr, Ptr], number>;
  readonly obj_pin: Bound<[number, string], number>;
  readonly obj_get: Bound<[string], number>;
  readonly obj_info: Bound<[number, Ptr, Ptr], number>;
  readonly test_run: Bound<[number, Ptr], number>;
  readonly link_create: Bound<[number, number, number, Ptr], number>;
  readonly link_update: Bound<[number, number, Ptr], number>;
  readonly link_detach: Bound<[number], number>;
  readonly link_next_id: Bound<[number, Ptr], number>;
  readonly link_by_id: Bound<[number], number>;
  readonly prog_by_id: Bound<[number], number>;
  readonly map_by_id: Bound<[number], number>;
  readonly tc_hook_create: Bound<[Ptr], number>;
  readonly tc_attach: Bound<[Ptr, Ptr], number>;
  readonly tc_detach: Bound<[Ptr, Ptr], number>;
  readonly tc_query: Bound<[Ptr, Ptr], number>;
  readonly xdp_query: Bound<[number, number, Ptr], number>;
  readonly possible_cpus: Bound<[], number>;
  readonly probe_helper: Bound<[number, number, Ptr], number>;
  readonly probe_prog_type: Bound<[number, Ptr], number>;
  readonly probe_map_type: Bound<[number, Ptr], number>;
  readonly set_print: Bound<[Pointer | null], Pointer | null>;
}

const SIGNATURES: Readonly<Record<Exclude<keyof Libbpf, 'major' | 'minor'>, string>> = {
  open_file: 'void *bpf_object__open_file(const char *path, const void *opts)',
  open_mem: 'void *bpf_object__open_mem(const void *buf, size_t size, const void *opts)',
  load: 'int bpf_object__load(void *o)',
  close: 'void bpf_object__close(void *o)',
  next_map: 'void *bpf_object__next_map(void *o, void *m)',
  next_program: 'void *bpf_object__next_program(void *o, void *p)',
  find_map: 'void *bpf_object__find_map_by_name(void *o, const char *name)',
  object_btf: 'void *bpf_object__btf(void *o)',
  map_name: 'const char *bpf_map__name(void *m)',
  map_fd: 'int bpf_map__fd(void *m)',
  map_type: 'int bpf_map__type(void *m)',
  map_key_size: 'uint32_t bpf_map__key_size(void *m)',
  map_value_size: 'uint32_t bpf_map__value_size(void *m)',
  map_max_entries: 'uint32_t bpf_map__max_entries(void *m)',
  map_flags: 'uint32_t bpf_map__map_flags(void *m)',
  map_set_max_entries: 'int bpf_map__set_max_entries(void *m, uint32_t n)',
  map_set_pin_path: 'int bpf_map__set_pin_path(void *m, const char *path)',
  map_pin_path: 'const char *bpf_map__pin_path(void *m)',
  map_initial_value: 'void *bpf_map__initial_value(void *m, void *size)',
  prog_fd: 'int bpf_program__fd(void *p)',
  prog_name: 'const char *bpf_program__name(void *p)',
  prog_type: 'int bpf_program__type(void *p)',
  prog_attach_type: 'int bpf_program__expected_attach_type(void *p)',
  prog_set_autoload: 'int bpf_program__set_autoload(void *p, bool v)',
  btf_find: 'int btf__find_by_name_kind(void *btf, const char *name, uint32_t kind)',
  btf_type: 'void *btf__type_by_id(void *btf, uint32_t id)',
  btf_name: 'const char *btf__name_by_offset(void *btf, uint32_t off)',
  map_create: 'int bpf_map_create(int type, const char *name, uint32_t ks, uint32_t vs, uint32_t n, const void *opts)',
  update_elem: 'int bpf_map_update_elem(int fd, const void *k, const void *v, uint64_t flags)',
  lookup_elem: 'int bpf_map_lookup_elem(int fd, const void *k, void *v)',
  delete_elem: 'int bpf_map_delete_elem(int fd, const void *k)',
  next_key: 'int bpf_map_get_next_key(int fd, const void *k, void *n)',
  update_batch: 'int bpf_map_update_batch(int fd, const void *k, const void *v, void *count, const void *opts)',
  lookup_batch: 'int bpf_map_lookup_batch(int fd, void *in, void *out, void *k, void *v, void *count, const void *opts)',
  take_batch: 'int bpf_map_lookup_and_delete_batch(int fd, void *in, void *out, void *k, void *v, void *count, const void *opts)',
  delete_batch: 'int bpf_map_delete_batch(int fd, const void *k, void *count, const void *opts)',
  obj_pin: 'int bpf_obj_pin(int fd, const char *path)',
  obj_get: 'int bpf_obj_get(const char *path)',
  obj_info: 'int bpf_obj_get_info_by_fd(int fd, void *info, void *len)',
  test_run: 'int bpf_prog_test_run_opts(int fd, void *opts)',
  link_create: 'int bpf_link_create(int prog_fd, int target, int type, const void *opts)',
  link_update: 'int bpf_link_update(int link_fd, int prog_fd, const void *opts)',
  link_detach: 'int bpf_link_detach(int fd)',
  link_next_id: 'int bpf_link_get_next_id(uint32_t id, void *next)',
  link_by_id: 'int bpf_link_get_fd_by_id(uint32_t id)',
  prog_by_id: 'int bpf_prog_get_fd_by_id(uint32_t id)',
  map_by_id: 'int bpf_map_get_fd_by_id(uint32_t id)',
  tc_hook_create: 'int bpf_tc_hook_create(void *hook)',
  tc_attach: 'int bpf_tc_attach(const void *hook, void *opts)',
  tc_detach: 'int bpf_tc_detach(const void *hook, const void *opts)',
  tc_query: 'int bpf_tc_query(const void *hook, void *opts)',
  xdp_query: 'int bpf_xdp_query(int ifindex, int flags, void *opts)',
  possible_cpus: 'int libbpf_num_possible_cpus()',
  probe_helper: 'int libbpf_probe_bpf_helper(int prog_type, int helper, const void *opts)',
  probe_prog_type: 'int libbpf_probe_bpf_prog_type(int prog_type, const void *opts)',
  probe_map_type: 'int libbpf_probe_bpf_map_type(int map_type, const void *opts)',
  set_print: 'void *libbpf_set_print(void *fn)',
};

export interface Libc {
  readonly mmap: Bound<[Ptr, number, number, number, number, number], Pointer | null>;
  readonly munmap: Bound<[Pointer, number], number>;
  readonly mount: Bound<[string, string, string, bigint, string | null], number>;
  readonly bpf: (command: number, attr: Uint8Array) => number;
  readonly vsnprintf: Bound<[Ptr, number, Pointer, Pointer], number>;
  readonly close: Bound<[number], number>;
  readonly socket: Bound<[number, number, number], number>;
  readonly getsockopt: Bound<[number, number, number, Ptr, Ptr], number>;
  readonly eventfd: Bound<[number, number], number>;
  readonly epoll_create1: Bound<[number], number>;
  readonly epoll_ctl: Bound<[number, number, number, Ptr], number>;
  readonly epoll_wait: Bound<[number, Ptr, number, number], number>;
}

let libbpf: Libbpf | undefined;
let libc: Libc | undefined;

export function libbpfHandle(): Libbpf {
  libbpf ??= bindLibbpf();
  return libbpf;
}

function bindLibbpf(): Libbpf {
  const lib = openLibrary('libbpf.so.1', 'Install libbpf 1.x (Debian: libbpf1, Fedora: libbpf).');
  const version = {
    major: (lib.func('int libbpf_major_version()') as unknown as () => number)(),
    minor: (lib.func('int libbpf_minor_version()') as unknown as () => number)(),
  };
  const bound: Record<string, unknown> = { ...version };
  for (const [name, signature] of Object.entries(SIGNATURES)) {
    try {
      bound[name] = lib.func(signature);
    } catch (cause) {
      throw new AppError({
        code: 'bpf/libbpf-too-old',
        message: `libbpf ${version.major}.${version.minor} has no ${signature}`,
        hint: 'Version 1.0 or newer is needed.',
        cause,
      });
    }
  }
  const typed = bound as unknown as Libbpf;
  typed.set_print(null); // libbpf talks to stderr even about harmless EEXIST; openObject listens while it loads
  return typed;
}

export function libcHandle(): Libc {
  libc ??= bindLibc();
  return libc;
}

function bindLibc(): Libc {
  const lib = openLibrary('libc.so.6', 'A glibc system is needed.');
  const bind = <T>(signature: string): T => lib.func(signature) as unknown as T;
  const syscall = bind<Bound<[number, number, Ptr, number], number>>('long syscall(long nr, int cmd, void *attr, uint32_t size)');
  const bpfNumber = process.arch === 'arm64' ? 280 : 321;
  return {
    mmap: bind('void *mmap(void *a, size_t len, int prot, int flags, int fd, int64_t off)'),
    munmap: bind('int munmap(void *a, size_t len)'),
    mount: bind('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)'),
    bpf: (command, attr) => Number(syscall(bpfNumber, command, attr, attr.length)),
    vsnprintf: bind('int vsnprintf(void *b, size_t n, void *fmt, void *ap)'),
    close: bind('int close(int fd)'),
    socket: bind('int socket(int domain, int type, int protocol)'),
    getsockopt: bind('int getsockopt(int fd, int level, int name, void *value, void *length)'),
    eventfd: bind('int eventfd(unsigned int initial, int flags)'),
    epoll_create1: bind('int epoll_create1(int flags)'),
    epoll_ctl: bind('int epoll_ctl(int ep, int op, int fd, void *ev)'),
    epoll_wait: bind('int epoll_wait(int ep, void *ev, int max, int timeout)'),
  };
}

function openLibrary(name: string, hint: string): LibraryHandle {
  try {
    return koffi.load(name);
  } catch (cause) {
    throw new AppError({ code: 'bpf/library-missing', message: `cannot load ${name}`, hint, cause });
  }
}

/** Address of a Buffer's memory. The Buffer must stay reachable until C is done with it. */
export const addressOf = (bytes: Uint8Array): bigint => koffi.address(bytes);
/** Live view of C memory; koffi does not own it. */
export const viewOf = (at: Pointer, length: number): ArrayBuffer => koffi.view(at, length);
export const lastErrno = (): number => koffi.errno();
/** For descriptors C gave us: node tracks only those it opened itself, and warns in workers about others. */
export const closeFd = (fd: number): void => void libcHandle().close(fd);
