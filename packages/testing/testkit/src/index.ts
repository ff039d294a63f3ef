// @axoneme/testkit: what tests and benches share. Never imported by production code.
//
// createFakeClock(startMs)      Clock port; advance / advanceAsync
// createRandom(seed), runSeed() seeded randomness
// buildFrame / buildIp          packets with correct checksums
// withoutEnd(object)            eBPF that no verifier lets pass
export * from './elf.ts';
export * from './fake-clock.ts';
export * from './packets.ts';
export * from './random.ts';
