// eBPF through libbpf: load, pin, attach, table I/O, ring buffers, test runs. The only importer of libbpf.
export * from './attach.ts';
export * from './constants.ts';
export { errnoName, errnoOf } from './errors.ts';
export * from './handles.ts';
export * from './info.ts';
export * from './map.ts';
export { BpfObject, findProgram, type OpenOptions, openObject } from './object.ts';
export * from './ring.ts';
export type { RodataValue } from './rodata.ts';
export * from './system.ts';
export * from './test-run.ts';
export * from './xdp.ts';
