// Entry of the operator process: configuration, signals, exit code.
import { describeError } from '@axoneme/std';
import { loadConfig } from './config.ts';
import { createOperator } from './wiring.ts';

const config = loadConfig(process.argv.slice(2), process.env);
if (!config.ok) {
  process.stderr.write(`${describeError(config.error)}\n`);
  process.exit(2);
}

const stop = new AbortController();
for (const s of ['SIGINT', 'SIGTERM'] as const) process.on(s, () => stop.abort());

createOperator(config.value)
  .run(stop.signal)
  .then(
    () => process.exit(0),
    (e: unknown) => {
      process.stderr.write(`operator failed: ${describeError(e)}\n`);
      process.exit(1);
    },
  );
