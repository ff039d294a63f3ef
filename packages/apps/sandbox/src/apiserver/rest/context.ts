// What one write carries besides its object. Made by ../http and by the in-process client; read by ../rest and ../crd.
import type { UserInfo } from '../types.ts';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface WriteContext {
  readonly user: UserInfo;
  readonly manager: string;
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
  readonly subresource: string;
  /** Warnings for the client; appended. */
  readonly warnings: string[];
}
