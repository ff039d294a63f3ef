// One schema shape for built-in kinds and custom resources: pruning, merging, ownership and OpenAPI read it.

export type ScalarType = 'string' | 'integer' | 'number' | 'boolean';

export interface Schema {
  /** Absent: any value. */
  readonly type?: 'object' | 'array' | ScalarType;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  /** Schema of the values of a map. */
  readonly values?: Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listKeys?: readonly string[];
  /** The whole map or struct is one owned value. */
  readonly atomic?: boolean;
  /** Strategic merge: list items merge, by this key when they are objects. */
  readonly mergeKey?: string;
  readonly mergeList?: boolean;
  readonly retainKeys?: boolean;
  readonly intOrString?: boolean;
  readonly preserveUnknown?: boolean;
  readonly embedded?: boolean;
  readonly nullable?: boolean;
  readonly default?: unknown;
  /** A Go struct that is always there (no pointer), or a scalar whose zero means "unset". */
  readonly plain?: boolean;
  /** Full OpenAPI name of a built-in type. */
  readonly ref?: string;
  /** Custom resources: the JSONSchemaProps as written, with its value rules. */
  readonly raw?: Readonly<Record<string, unknown>>;
}

export const anySchema: Schema = {};
/** Values below have no known shape: maps merge, lists are atomic. */
export const freeForm: Schema = { type: 'object', preserveUnknown: true };

/** Schema of a member; undefined when the key is unknown there. */
export function childOf(s: Schema | undefined, key: string): Schema | undefined {
  if (s === undefined) return undefined;
  const own = s.properties !== undefined && Object.hasOwn(s.properties, key) ? s.properties[key] : undefined;
  return own ?? s.values;
}
