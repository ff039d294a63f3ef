// Typed access to plain JSON that may hold anything. Called by the parsers; absent (or null) and empty stay different.
import type { IssueList } from './issues.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export const isPresent = (value: unknown): boolean => value !== undefined && value !== null;

export function readObject(issues: IssueList, path: string, value: unknown): JsonObject | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  issues.error(path, 'must be an object');
  return undefined;
}

/** Undefined = absent; a wrong type is an error and counts as empty. */
export function readList(issues: IssueList, path: string, value: unknown): readonly unknown[] | undefined {
  if (!isPresent(value)) return undefined;
  if (Array.isArray(value)) return value;
  issues.error(path, 'must be a list');
  return [];
}

export function readString(issues: IssueList, path: string, value: unknown): string | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'string') return value;
  issues.error(path, 'must be a string');
  return undefined;
}

export function readBoolean(issues: IssueList, path: string, value: unknown): boolean | undefined {
  if (!isPresent(value)) return undefined;
  if (typeof value === 'boolean') return value;
  issues.error(path, 'must be true or false');
  return undefined;
}

/** Length of a list field, 0 if it is absent or no list. */
export const listLength = (value: unknown): number => (Array.isArray(value) ? value.length : 0);
