// Log port on winston: one line of JSON (or a readable line) per entry, with secrets taken out.
// Callers: wiring of every app; everybody else only sees the `Log` port of std.
import { AppError, type Log, type LogFields } from '@axoneme/std';
import winston from 'winston';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogConfig {
  /** Component, e.g. `operator`; field `app` of every line. */
  readonly app: string;
  readonly level?: LogLevel;
  /** `pretty` for people at a terminal, `json` for machines. Default json. */
  readonly format?: 'json' | 'pretty';
  /** Where lines go; default standard error. */
  readonly stream?: NodeJS.WritableStream;
}

const secretName = /token|secret|password|passwd|authorization|cookie|private|keypem|key_pem|credential/i;
const secretText =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|\bBearer\s+[\w.~+/-]+=*|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g;
const hidden = '[redacted]';
const depthMax = 6;
const textSizeMax = 8_192;

function redactText(s: string): string {
  const cut = s.length > textSizeMax ? `${s.slice(0, textSizeMax)}…` : s;
  return cut.replace(secretText, hidden);
}

/** A copy that is safe and cheap to print: secrets hidden, errors as objects, bytes as hex, depth and text size limited. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return value;
  if (depth >= depthMax) return '…';
  if (value instanceof Error || Object.prototype.toString.call(value) === '[object Error]') return describe(value as Error, depth);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, Math.min(value.length, 64)).toString('hex');
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.slice(0, 100).map((v) => redact(v, depth + 1));
  const entries = value instanceof Map ? [...value.entries()].map(([k, v]) => [String(k), v] as const) : Object.entries(value);
  return Object.fromEntries(
    entries.slice(0, 100).map(([k, v]) => [k, secretName.test(k) && v !== undefined ? hidden : redact(v, depth + 1)]),
  );
}

function describe(e: Error, depth: number): Record<string, unknown> {
  const app = e instanceof AppError ? { code: e.code, hint: e.hint, ...(redact(e.fields, depth + 1) as object) } : {};
  const code = (e as { code?: unknown }).code;
  const stack =
    e instanceof AppError || e.stack === undefined
      ? undefined
      : e.stack
          .split('\n')
          .slice(1, 6)
          .map((l) => l.trim());
  return {
    ...(code === undefined ? {} : { code }),
    ...app,
    message: redactText(e.message),
    ...(e.cause === undefined ? {} : { cause: redact(e.cause, depth + 1) }),
    ...(stack === undefined ? {} : { stack }),
  };
}

const prettyLine = winston.format.printf((entry) => {
  const { level, message, timestamp, ...fields } = entry;
  const rest = Object.entries(fields).map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`);
  return `${String(timestamp)} ${level.toUpperCase().padEnd(5)} ${String(message)}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}`;
});

export function createLog(config: LogConfig): Log {
  const { combine, timestamp, json } = winston.format;
  const logger = winston.createLogger({
    level: config.level ?? 'info',
    format: config.format === 'pretty' ? combine(timestamp({ format: 'HH:mm:ss.SSS' }), prettyLine) : combine(timestamp(), json()),
    transports: [new winston.transports.Stream({ stream: config.stream ?? process.stderr })],
  });
  return wrap(logger, { app: config.app });
}

function wrap(logger: winston.Logger, base: LogFields): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields?: LogFields): void => {
      if (!logger.isLevelEnabled(level)) return;
      // Fields may be called anything; these two would replace what winston itself writes.
      const {
        message: text,
        level: grade,
        ...rest
      } = { ...base, ...(redact(fields ?? {}) as Record<string, unknown>) } as Record<string, unknown>;
      const renamed = { ...(text === undefined ? {} : { text }), ...(grade === undefined ? {} : { grade }) };
      logger.log({ level, message, ...rest, ...renamed });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => wrap(logger, { ...base, ...(redact(fields) as LogFields) }),
  };
}
