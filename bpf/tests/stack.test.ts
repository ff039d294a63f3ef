// The stack of every chain of calls as older verifiers count it: frames in steps of 32 bytes, 512 in all. This machine's kernel may be
// more generous (16), so that an object which loads here would not load on Linux 6.1.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from '@jest/globals';
import { build } from './kit.ts';

const STEP = 32;
const MOST = 512;

interface Function {
  frame: number;
  readonly calls: Set<string>;
}

const dump = (object: string, ...args: string[]): string[] =>
  execFileSync('llvm-objdump', [...args, fileURLToPath(new URL(`../build/${object}.o`, import.meta.url))], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  }).split('\n');

/** Every function of an object: section and instruction → name. */
function symbols(object: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of dump(object, '-t')) {
    const [, at = '0', section = '', name = ''] = /^([0-9a-f]{16}) .{6}F (\S+)\s+[0-9a-f]{16} (?:\.hidden )?(\S+)$/.exec(line) ?? [];
    if (name !== '') found.set(`${section} ${Number.parseInt(at, 16) / 8}`, name);
  }
  return found;
}

function functionsOf(object: string): ReadonlyMap<string, Function> {
  const names = symbols(object);
  const functions = new Map<string, Function>();
  let section = '';
  let now: Function = { frame: 0, calls: new Set() };
  let operand = 0;
  const pointers = new Set<string>();
  const lowest = (bytes: string | undefined): void => {
    now.frame = Math.max(now.frame, Number(bytes ?? 0));
  };
  for (const line of dump(object, '-d', '-r', '--no-show-raw-insn')) {
    section = /^Disassembly of section (\S+):/.exec(line)?.[1] ?? section;
    const at = /^([0-9a-f]{16}) </.exec(line)?.[1];
    const name = at === undefined ? undefined : names.get(`${section} ${Number.parseInt(at, 16) / 8}`);
    if (name !== undefined) {
      now = { frame: 0, calls: new Set() };
      functions.set(name, now);
      pointers.clear();
    }
    const target = /R_BPF_64_(?:32|64)\s+(\S+)$/.exec(line)?.[1];
    if (target !== undefined) now.calls.add(names.get(`${target} ${operand}`) ?? target);
    for (const m of line.matchAll(/r10 - (\d+)/g)) lowest(m[1]);
    // a pointer into the frame is made in two steps
    const copy = /\b(r\d) = r10$/.exec(line)?.[1];
    if (copy !== undefined) pointers.add(copy);
    const [, moved = '', by] = /\b(r\d) \+= -(\d+)$/.exec(line) ?? [];
    if (pointers.delete(moved)) lowest(by);
    // static functions are named by their place: of a call as a distance from the section's start less one, of a callback in bytes
    const call = /\bcall (-?(?:0x)?[0-9a-f]+)$/.exec(line)?.[1];
    const address = /\br\d = (\d+) ll$/.exec(line)?.[1];
    operand = call !== undefined ? Number(call) + 1 : Number(address ?? 0) / 8;
  }
  return functions;
}

function deepest(functions: ReadonlyMap<string, Function>, name: string): { readonly bytes: number; readonly chain: string } {
  const f = functions.get(name);
  if (f === undefined) return { bytes: 0, chain: '' };
  const below = [...f.calls].map((c) => deepest(functions, c)).reduce((a, b) => (b.bytes > a.bytes ? b : a), { bytes: 0, chain: '' });
  const own = Math.max(STEP, Math.ceil(f.frame / STEP) * STEP);
  return { bytes: own + below.bytes, chain: `${name} ${f.frame}${below.chain === '' ? '' : ` > ${below.chain}`}` };
}

beforeAll(build);

test.each(['pod', 'netdev', 'overlay', 'host', 'sock', 'xdp'])(
  '%s.o: no chain of calls is deeper than 512 bytes in steps of 32',
  (object) => {
    const functions = functionsOf(object);
    expect(functions.size).toBeGreaterThan(2);
    expect([...functions.values()].some((f) => f.calls.size > 0)).toBe(true);
    const tooDeep = [...functions.keys()].map((name) => deepest(functions, name)).filter((c) => c.bytes > MOST);
    expect(tooDeep).toEqual([]);
  },
);
