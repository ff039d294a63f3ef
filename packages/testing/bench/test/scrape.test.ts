import { expect, test } from '@jest/globals';
import { countOf, difference, histogramQuantile, parseHistogram } from '../src/cluster/scrape.ts';

const text = (a: number, b: number, c: number) => `# HELP x_seconds Duration
x_seconds_bucket{le="0.1",command="ADD",result="ok"} ${a}
x_seconds_bucket{le="0.2",command="ADD",result="ok"} ${b}
x_seconds_bucket{le="+Inf",command="ADD",result="ok"} ${c}
x_seconds_bucket{le="0.1",command="DEL",result="ok"} 900
x_seconds_bucket{le="+Inf",command="DEL",result="ok"} 900
x_seconds_count{command="ADD",result="ok"} ${c}
`;

test('a histogram of one label set, and what came between two readings', () => {
  const before = parseHistogram(text(1, 2, 2), 'x_seconds', { command: 'ADD' });
  const after = parseHistogram(text(51, 101, 103), 'x_seconds', { command: 'ADD' });
  const seen = difference(after, before);
  expect(seen).toEqual([
    [0.1, 50],
    [0.2, 99],
    [Number.POSITIVE_INFINITY, 101],
  ]);
  expect(countOf(seen)).toBe(101);
});

test('quantiles: linear in a bucket, the last bound above it', () => {
  const h = parseHistogram(text(50, 99, 100), 'x_seconds', { command: 'ADD', result: 'ok' });
  expect(histogramQuantile(h, 0.25)).toBeCloseTo(0.05);
  expect(histogramQuantile(h, 0.5)).toBeCloseTo(0.1);
  expect(histogramQuantile(h, 0.745)).toBeCloseTo(0.15);
  expect(histogramQuantile(h, 1)).toBe(0.2);
  expect(histogramQuantile([], 0.5)).toBeNaN();
});
