// Catches what libbpf would write to stderr while one call runs. Called by openObject.
import koffi from 'koffi';
import { libbpfHandle, libcHandle, type Pointer } from './ffi.ts';

const LINE_BYTES = 16 * 1024;
const LEVEL_INFO = 1;

/** Runs `fn` synchronously; warnings and infos of libbpf become lines. libbpf stays silent outside. */
export function captureLibbpf<T>(fn: () => T): { readonly result: T; readonly lines: readonly string[] } {
  const lib = libbpfHandle();
  const libc = libcHandle();
  const lines: string[] = [];
  const buffer = Buffer.alloc(LINE_BYTES);
  const onLine = (level: number, format: Pointer, args: Pointer): number => {
    if (level > LEVEL_INFO) return 0;
    const n = libc.vsnprintf(buffer, buffer.length, format, args);
    for (const line of buffer.toString('utf8', 0, Math.min(n, buffer.length - 1)).split('\n'))
      if (line.trim() !== '') lines.push(line.trimEnd());
    return 0;
  };
  const callback = koffi.register(onLine, koffi.pointer(koffi.proto('int', ['int', 'void *', 'void *'])));
  const before = lib.set_print(callback);
  try {
    return { result: fn(), lines };
  } finally {
    lib.set_print(before);
    koffi.unregister(callback);
  }
}
