// Writes a planned commit into the kernel tables, or puts everything back as it was. Called by apply.
import { AppError, describeError, fail, ok, type Result } from '@axoneme/std';
import { bumpFor, type Table, type Tables, tableOrder } from '../ports/tables.ts';
import type { TablePlan } from './plan.ts';

/** Rows handed to the kernel in one call; 1024 rows keep one call below 4 ms. */
export const batchRows = 1024;

/** Calls `fn` for each batch of rows [from, to). */
export function eachBatch(rows: number, fn: (from: number, to: number) => void): void {
  for (let from = 0; from < rows; from += batchRows) fn(from, Math.min(rows, from + batchRows));
}

const byOrder = (plans: readonly TablePlan[]): TablePlan[] =>
  [...plans].sort((a, b) => tableOrder.indexOf(a.table) - tableOrder.indexOf(b.table));

/** Errors: `agent/table-unknown`, `agent/table-full`. */
export function checkCapacity(plans: readonly Pick<TablePlan, 'table' | 'peak'>[], tables: Tables): Result<void> {
  for (const p of plans) {
    const t = tables.get(p.table);
    if (!t) return fail({ code: 'agent/table-unknown', message: `this datapath has no table ${p.table}` });
    if (p.peak > t.capacity) {
      return fail({
        code: 'agent/table-full',
        message: `table ${p.table} needs ${p.peak} rows, capacity is ${t.capacity}`,
        hint: `raise the size of table ${p.table}`,
        fields: { table: p.table, needed: p.peak, capacity: t.capacity },
      });
    }
  }
  return ok(undefined);
}

const part = (b: Buffer, size: number, from: number, to: number): Buffer => b.subarray(from * size, to * size);

function put(t: Table, keys: Buffer, values: Buffer): void {
  eachBatch(keys.length / t.keySize, (from, to) => t.put(part(keys, t.keySize, from, to), part(values, t.valueSize, from, to)));
}

function remove(t: Table, keys: Buffer): void {
  eachBatch(keys.length / t.keySize, (from, to) => t.remove(part(keys, t.keySize, from, to)));
}

/** Removes rows the plan added, restores rows it changed or deleted. */
function undo(t: Table, p: TablePlan): void {
  const added: Buffer[] = [];
  const keys: Buffer[] = [p.delKeys];
  const values: Buffer[] = [p.delValues];
  p.had.forEach((had, row) => {
    const key = part(p.putKeys, t.keySize, row, row + 1);
    if (had === 0) added.push(key);
    else {
      keys.push(key);
      values.push(part(p.prior, t.valueSize, row, row + 1));
    }
  });
  remove(t, Buffer.concat(added));
  put(t, Buffer.concat(keys), Buffer.concat(values));
}

/**
 * Writes all tables in order, deletes in reverse order, then makes the kernel judge flows again. When a write fails every table is put
 * back and the error is returned; `agent/rollback-failed` says that not even that worked and the kernel differs from what is held.
 */
export function execute(plans: readonly TablePlan[], tables: Tables): Result<{ changed: boolean }> {
  const work = byOrder(plans).filter((p) => p.putKeys.length + p.delKeys.length > 0);
  if (work.length === 0) return ok({ changed: false });
  const table = (p: TablePlan): Table => {
    const t = tables.get(p.table);
    if (!t) throw new AppError({ code: 'agent/table-unknown', message: `this datapath has no table ${p.table}` });
    return t;
  };
  const touched: TablePlan[] = [];
  try {
    for (const p of work) {
      touched.push(p);
      put(table(p), p.putKeys, p.putValues);
    }
    for (const p of [...work].reverse()) remove(table(p), p.delKeys);
    bumpFor(
      tables,
      work.map((p) => p.table),
    );
    return ok({ changed: true });
  } catch (cause) {
    return rollBack(touched, table, tables, cause);
  }
}

function rollBack(touched: readonly TablePlan[], table: (p: TablePlan) => Table, tables: Tables, cause: unknown): Result<never> {
  const name = touched.at(-1)?.table ?? '';
  try {
    for (const p of [...touched].reverse()) undo(table(p), p);
    tables.bumpGeneration();
  } catch (second) {
    return fail({
      code: 'agent/rollback-failed',
      message: `writing failed (${describeError(cause)}) and so did putting the rows back (${describeError(second)})`,
      retry: 'refresh',
      cause,
    });
  }
  if (cause instanceof AppError && cause.code === 'agent/table-full') return { ok: false, error: cause };
  return fail({
    code: 'agent/write-failed',
    message: `the kernel refused rows of a commit near table ${name}: ${describeError(cause)}`,
    cause,
  });
}
