// Schemas of the built-in types, made from the fact tables on first use.
import { AppError } from '@axoneme/std';
import { coreTypes } from '../data/types-core.ts';
import { groupTypes } from '../data/types-groups.ts';
import { metaTypes } from '../data/types-meta.ts';
import { podTypes } from '../data/types-pod.ts';
import { anySchema, type Schema } from './model.ts';
import { type FieldFact, type MessageFact, parseTables } from './table.ts';

const messages = parseTables([metaTypes, coreTypes, podTypes, groupTypes]);
const schemas = new Map<string, Schema>();

const scalars: Readonly<Record<string, Schema>> = {
  s: { type: 'string' },
  i: { type: 'integer', format: 'int32' },
  l: { type: 'integer', format: 'int64' },
  b: { type: 'boolean' },
  f: { type: 'number', format: 'double' },
  y: { type: 'string', format: 'byte' },
  T: { type: 'string', format: 'date-time' },
  U: { type: 'string', format: 'micro-time' },
  Q: { type: 'string', format: 'quantity' },
  IS: { type: 'string', format: 'int-or-string', intOrString: true },
  R: { type: 'object', preserveUnknown: true },
  A: anySchema,
  ExtraValue: { type: 'array', items: { type: 'string' }, listType: 'atomic' },
};

export function messageFact(name: string): MessageFact | undefined {
  return messages.get(name);
}

export function allMessages(): IterableIterator<MessageFact> {
  return messages.values();
}

/** Schema of a built-in type by its short name, e.g. `PodSpec`. */
export function builtinSchema(name: string): Schema {
  const known = schemas.get(name);
  if (known !== undefined) return known;
  const fact = messages.get(name);
  if (fact === undefined) throw new AppError({ code: 'apiserver/type-table', message: `type ${name} is not in the table` });
  const s = messageSchema(fact);
  schemas.set(name, s);
  return s;
}

/** Schema of a top-level kind: the message plus apiVersion and kind. */
export function kindSchema(typeName: string): Schema {
  const s = builtinSchema(typeName);
  return { ...s, properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, ...s.properties } };
}

/** Fields of a message with inlined messages expanded. */
export function flatFields(fact: MessageFact): FieldFact[] {
  return fact.fields.flatMap((f) => (f.inline ? flatFields(messages.get(f.type) as MessageFact) : [f]));
}

function messageSchema(fact: MessageFact): Schema {
  const fields = flatFields(fact);
  const properties: Record<string, Schema> = {};
  for (const f of fields) properties[f.name] = fieldSchema(f);
  const required = fields.filter((f) => f.required).map((f) => f.name);
  return {
    type: 'object',
    ref: fact.ref,
    properties,
    ...(required.length === 0 ? {} : { required }),
    ...(fact.atomic ? { atomic: true } : {}),
  };
}

function fieldSchema(f: FieldFact): Schema {
  const base = scalars[f.type] ?? builtinSchema(f.type);
  if (f.list) {
    return {
      type: 'array',
      items: base,
      listType: f.listKeys !== undefined ? 'map' : f.set === true ? 'set' : 'atomic',
      ...(f.listKeys === undefined ? {} : { listKeys: f.listKeys }),
      ...(f.mergeKey === undefined ? {} : { mergeList: true, ...(f.mergeKey === '' ? {} : { mergeKey: f.mergeKey }) }),
      ...(f.retainKeys === true ? { retainKeys: true } : {}),
    };
  }
  if (f.map) return { type: 'object', values: base, ...(f.atomic ? { atomic: true } : {}) };
  return {
    ...base,
    ...(f.pointer ? {} : { plain: true }),
    ...(f.default === undefined ? {} : { default: f.default }),
    ...(f.retainKeys === true ? { retainKeys: true } : {}),
  };
}
