import { expect, test } from '@jest/globals';
import { createReport, markdown, plainRow, quantile, rowOf, spread, within } from '../src/index.ts';

test('spread: the median of odd and even numbers of samples', () => {
  expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
  expect(spread([4, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 4 });
  expect(spread([]).median).toBeNaN();
});

test('ratios are taken inside rounds, so a slow machine does not count', () => {
  const row = rowOf({
    name: 'x',
    unit: 'ns',
    samples: [40, 80, 44],
    reference: [10, 20, 11],
    referenceName: 'floor',
    budget: { kind: 'max', ratio: 4 },
  });
  expect(row.ratio).toEqual({ min: 4, median: 4, max: 4 });
  expect(row.value.max).toBe(80);
  expect(within(row)).toBe(true);
});

test('budgets for costs and for rates', () => {
  const row = (ratio: number, kind: 'max' | 'min') =>
    rowOf({ name: 'x', unit: '', samples: [ratio], reference: [1], referenceName: 'r', budget: { kind, ratio: 2 } });
  expect([within(row(1.9, 'max')), within(row(2.1, 'max')), within(row(1.9, 'min')), within(row(2.1, 'min'))]).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect(within(rowOf({ name: 'x', unit: '', samples: [1], reference: [1], referenceName: 'r' }))).toBeUndefined();
});

test('rows without a reference have budgets in their own unit', () => {
  expect(within(plainRow('x', 'ms', [240, 260, 249], { max: 250 }))).toBe(true);
  expect(within(plainRow('x', 'B', [1], { max: 0 }))).toBe(false);
  expect(within(plainRow('x', 'ms', [1]))).toBeUndefined();
  expect(markdown(createReport('b', 1, [plainRow('x', 'ms', [240], { max: 250 })]))).toContain(
    '| x | 240 / **240** / 240 ms |  |  | ≤ 250 ms | yes |  |  |',
  );
});

test('quantiles by nearest rank', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([quantile(samples, 0.5), quantile(samples, 0.99), quantile(samples, 1)]).toEqual([50, 99, 100]);
  expect(quantile([7], 0.5)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test('Markdown carries machine, date, commit and misses', () => {
  const rows = [
    rowOf({
      name: 'case',
      unit: 'ns',
      samples: [9],
      reference: [2],
      referenceName: 'floor',
      budget: { kind: 'max', ratio: 4 },
      units: [3],
    }),
  ];
  const text = markdown(createReport('Some bench', 1, rows, ['a note']));
  expect(text).toMatch(/^### Some bench\n\n20\d\d-\d\d-\d\dT\d\d:\d\d UTC, commit \w+, \d+ × .*, 1 interleaved rounds/);
  expect(text).toContain(
    '| case | 9.00 / **9.00** / 9.00 ns | 4.50 / **4.50** / 4.50 | floor | ≤ 4 | **no** | 3.00 / **3.00** / 3.00 |  |',
  );
  expect(text).toContain('- a note');
});
