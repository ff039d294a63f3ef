// Writing responses: JSON bytes, Status objects, warnings. Called by every handler.
import type { ServerResponse } from 'node:http';
import { stringify } from 'yaml';
import type { StatusError } from '../status-error.ts';

const warningsMax = 20;

export function addWarnings(res: ServerResponse, warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  const unique = [...new Set(warnings)].slice(0, warningsMax);
  res.setHeader(
    'Warning',
    unique.map(
      (w) =>
        `299 - "${w
          .replaceAll('\\', '\\\\')
          .replaceAll('"', '\\"')
          .replace(/[^\x20-\x7e]/g, '?')}"`,
    ),
  );
}

export function sendJson(res: ServerResponse, status: number, value: unknown, contentType = 'application/json'): void {
  const text = contentType === 'application/yaml' ? stringify(value) : JSON.stringify(value);
  sendBytes(res, status, Buffer.from(text), contentType);
}

export function sendBytes(res: ServerResponse, status: number, bytes: Buffer, contentType = 'application/json'): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { 'content-type': contentType, 'content-length': bytes.length });
  res.end(bytes);
}

export function sendStatus(res: ServerResponse, e: StatusError): void {
  if (e.status === 429 || e.status === 503) res.setHeader('Retry-After', '1');
  sendJson(res, e.status, e.toStatus());
}
