export { exitCodes } from './failure.ts';
export { type CliIo, runCli } from './program.ts';
