// Errors as Kubernetes clients read them: Status objects with reason and code. Thrown by every layer of the server.
import { AppError } from '@axoneme/std';
import type { KubeObject } from './types.ts';

export interface Cause {
  readonly reason?: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** A failed request; `code` (string) is AppError's, `status` the HTTP code. */
export class StatusError extends AppError {
  readonly status: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  constructor(status: number, reason: string, message: string, details?: StatusDetails) {
    super({ code: `apiserver/${reason || 'error'}`, message, retry: status === 409 ? 'refresh' : status >= 500 ? 'later' : 'never' });
    this.status = status;
    this.reason = reason;
    this.details = details;
  }

  toStatus(): KubeObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason === '' ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.status,
    };
  }
}

/** `pods` or `deployments.apps`, as messages name a resource. */
export function resourceName(group: string, resource: string): string {
  return group === '' ? resource : `${resource}.${group}`;
}

interface Named {
  readonly group: string;
  readonly resource: string;
}

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const notFound = (r: Named, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${resourceName(r.group, r.resource)} "${name}" not found`, groupDetails(r, name));

export const alreadyExists = (r: Named, name: string): StatusError =>
  new StatusError(409, 'AlreadyExists', `${resourceName(r.group, r.resource)} "${name}" already exists`, groupDetails(r, name));

export const conflict = (r: Named, name: string, why: string): StatusError =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${resourceName(r.group, r.resource)} "${name}": ${why}`,
    groupDetails(r, name),
  );

export const forbidden = (r: Named, name: string, why: string, causes?: readonly Cause[]): StatusError =>
  new StatusError(403, 'Forbidden', `${resourceName(r.group, r.resource)} "${name}" is forbidden: ${why}`, {
    ...groupDetails(r, name),
    ...(causes === undefined ? {} : { causes }),
  });

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const unsupportedMedia = (accepted: readonly string[]): StatusError =>
  new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    {},
  );

export const tooLarge = (limit: number): StatusError =>
  new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`, {});

export const expired = (message: string): StatusError => new StatusError(410, 'Expired', message);

export const noSuchPath = (): StatusError => new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});

/** 422 naming every field at fault. */
export function invalid(group: string, kind: string, name: string, causes: readonly Cause[]): StatusError {
  const texts = causes.map((c) => (c.field === undefined || c.field === '' ? c.message : `${c.field}: ${c.message}`));
  const summary = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const gk = group === '' ? kind : `${kind}.${group}`;
  return new StatusError(422, 'Invalid', `${gk} "${name}" is invalid: ${summary}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    ...(kind === '' ? {} : { kind }),
    causes: causes.map((c) => ({ reason: c.reason ?? 'FieldValueInvalid', message: c.message, field: c.field ?? '' })),
  });
}

function groupDetails(r: Named, name: string): StatusDetails {
  return { name, ...(r.group === '' ? {} : { group: r.group }), kind: r.resource };
}

// Causes in the wording clients and people know.
export const invalidValue = (field: string, value: unknown, why: string): Cause => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${show(value)}: ${why}`,
});
export const requiredValue = (field: string, why = ''): Cause => ({
  reason: 'FieldValueRequired',
  field,
  message: why === '' ? 'Required value' : `Required value: ${why}`,
});
export const unsupportedValue = (field: string, value: unknown, allowed: readonly unknown[]): Cause => ({
  reason: 'FieldValueNotSupported',
  field,
  message: `Unsupported value: ${show(value)}: supported values: ${allowed.map(show).join(', ')}`,
});
export const duplicateValue = (field: string, value: unknown): Cause => ({
  reason: 'FieldValueDuplicate',
  field,
  message: `Duplicate value: ${show(value)}`,
});
export const forbiddenField = (field: string, why: string): Cause => ({
  reason: 'FieldValueForbidden',
  field,
  message: `Forbidden: ${why}`,
});

function show(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : JSON.stringify(value);
}
