// The agent as a process: configuration, log, signals. Everything else is wiring.
import { fileURLToPath } from 'node:url';
import { describeError } from '@axoneme/std';
import { createLog, type LogLevel } from '@axoneme/telemetry';
import { parseConfig, redacted, usage } from './config/config.ts';
import { createAgent } from './wiring.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const argv = process.argv.slice(2);
if (argv.includes('--help')) {
  process.stdout.write(`${usage()}\n`);
  process.exit(0);
}
const config = parseConfig(argv, process.env, {
  objectsDir: here('../../../../bpf/build'),
  cniBinary: here('../../cni/build/axoneme-cni'),
});
if (!config.ok) {
  process.stderr.write(`axoneme-agent: ${describeError(config.error)}\n`);
  process.exit(2);
}
const log = createLog({ app: 'agent', level: config.value.logLevel as LogLevel });
log.info('starting', { config: redacted(config.value) });
const agent = createAgent(config.value, log);

let stopping = false;
const stop = (signal: string): void => {
  if (stopping) return;
  stopping = true;
  log.info('stopping', { signal });
  agent.stop().then(
    () => process.exit(0),
    () => process.exit(1),
  );
};
process.on('SIGTERM', () => stop('SIGTERM'));
process.on('SIGINT', () => stop('SIGINT'));
process.on('uncaughtException', (e) => {
  // the datapath goes on without us; starting anew is safer than going on half
  log.error('unexpected error', { error: e });
  process.exit(1);
});

try {
  await agent.start();
} catch (e) {
  log.error('agent cannot start', { error: e });
  process.exit(1);
}
