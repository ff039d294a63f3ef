// Prints tables and JSON. Every command renders through here.

export interface Output {
  write(text: string): void;
}

export type Cell = string | number | boolean | null | undefined;

const text = (c: Cell): string => (c === null || c === undefined || c === '' ? '-' : String(c));

/** Columns as wide as their widest cell, two spaces between; numbers to the right. No rows: only the header. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((r) => header.map((_, i) => text(r[i])));
  const width = header.map((h, i) => Math.max(h.length, ...cells.map((r) => (r[i] as string).length)));
  const numeric = header.map((_, i) => rows.length > 0 && rows.every((r) => typeof r[i] === 'number'));
  const line = (r: readonly string[]): string =>
    r
      .map((c, i) => (numeric[i] === true ? c.padStart(width[i] as number) : c.padEnd(width[i] as number)))
      .join('  ')
      .trimEnd();
  return `${[header, ...cells].map(line).join('\n')}\n`;
}

export const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 → `1.5 KiB`. */
export function bytes(n: number): string {
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** One JSON array, written element by element. */
export function jsonArray(out: Output): { add(line: string): void; end(): void } {
  let first = true;
  return {
    add(line) {
      out.write(`${first ? '[\n' : ',\n'}  ${line}`);
      first = false;
    },
    end: () => out.write(first ? '[]\n' : '\n]\n'),
  };
}
