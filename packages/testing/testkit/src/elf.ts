// Objects that a kernel must refuse. For tests of what happens to a node that is given some.

/** Where an ELF file has instructions: [from, to]. The same bytes elsewhere are types and names. */
function codeOf(elf: Buffer): [number, number][] {
  const [table, size, count] = [Number(elf.readBigUInt64LE(0x28)), elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c)];
  const executable = 4n;
  return Array.from({ length: count }, (_, i) => elf.subarray(table + i * size, table + (i + 1) * size))
    .filter((h) => (h.readBigUInt64LE(8) & executable) !== 0n)
    .map((h) => [Number(h.readBigUInt64LE(24)), Number(h.readBigUInt64LE(24) + h.readBigUInt64LE(32))]);
}

/** A copy of a compiled eBPF object with programs that have no end, which no verifier lets pass. */
export function withoutEnd(object: Buffer): Buffer {
  const exit = 0x95n;
  const out = Buffer.from(object);
  for (const [start, end] of codeOf(out))
    for (let at = start; at < end; at += 8) if (out.readBigUInt64LE(at) === exit) out.writeBigUInt64LE(0xffn, at);
  return out;
}
