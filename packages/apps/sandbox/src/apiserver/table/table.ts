// Table and PartialObjectMetadata forms of objects. Called by ../http.
import { isObj } from '../obj.ts';
import type { PrinterColumn, Resource } from '../registry.ts';
import type { KubeObject } from '../types.ts';
import { ageOf } from './age.ts';
import { builtinPrinter, type Printer } from './columns.ts';
import { jsonPath } from './jsonpath.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export function partialObject(o: KubeObject): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: o.metadata };
}

export function printerOf(r: Resource): Printer {
  if (r.custom === undefined) return builtinPrinter(r.storage);
  const columns = r.custom.columns.length > 0 ? r.custom.columns : [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }];
  return {
    columns: [
      { name: 'Name', type: 'string', format: 'name' },
      ...columns.map((c) => ({
        name: c.name,
        type: c.type,
        ...(c.format === undefined ? {} : { format: c.format }),
        ...(c.priority === undefined ? {} : { priority: c.priority }),
      })),
    ],
    cells: (o, now) => [o.metadata.name ?? '', ...columns.map((c) => customCell(o, c, now))],
  };
}

function customCell(o: KubeObject, c: PrinterColumn, nowMs: number): unknown {
  const found = jsonPath(o, c.jsonPath);
  if (found.length === 0 || found[0] === null) return c.type === 'string' || c.type === 'date' ? '' : null;
  if (c.type === 'date') return ageOf(found[0], nowMs);
  // Kubernetes prints the first result only
  const v = found[0];
  if (c.type === 'string') return isObj(v) || Array.isArray(v) ? JSON.stringify(v) : String(v);
  if (c.type === 'integer' || c.type === 'number') return typeof v === 'number' ? v : null;
  return v;
}

export interface TableOptions {
  readonly include: IncludeObject;
  readonly headers: boolean;
  readonly nowMs: number;
  readonly listMeta: Readonly<Record<string, unknown>>;
}

export function tableOf(r: Resource, items: readonly KubeObject[], opts: TableOptions): unknown {
  const p = printerOf(r);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: opts.listMeta,
    columnDefinitions: opts.headers
      ? p.columns.map((c) => ({ name: c.name, type: c.type, format: c.format ?? '', description: '', priority: c.priority ?? 0 }))
      : null,
    rows: items.map((o) => ({
      cells: p.cells(o, opts.nowMs),
      ...(opts.include === 'None' ? { object: null } : { object: opts.include === 'Object' ? o : partialObject(o) }),
    })),
  };
}
