// Parses the fact tables of ../data into message descriptions. Called once, by builtin.ts.
//
// Grammar, one message a line: `Name[#]: number name type mods; ...`, sections start with `@ <openapi prefix>`.
// `#` after a message or map = atomic. Types: s i l b f y = string int32 int64 bool float bytes; T Time, U MicroTime, Q Quantity,
// IS IntOrString, R raw extension, A any; `[]X` list, `{}X` map; `*` before = pointer, `!` after = required, `s=TCP` default.
// Field name `~` = inlined message. Mods: `=a,b` list map keys, `%k` merge key (`%` alone: merge primitives), `~k` both,
// `#set` set list, `&` retainKeys.
import { AppError } from '@axoneme/std';

export interface FieldFact {
  readonly num: number;
  readonly name: string;
  readonly type: string;
  readonly list: boolean;
  readonly map: boolean;
  readonly pointer: boolean;
  readonly required: boolean;
  readonly inline: boolean;
  readonly atomic: boolean;
  readonly default?: string;
  readonly listKeys?: readonly string[];
  readonly set?: boolean;
  readonly mergeKey?: string;
  readonly retainKeys?: boolean;
}

export interface MessageFact {
  readonly name: string;
  readonly ref: string;
  readonly atomic: boolean;
  readonly fields: readonly FieldFact[];
}

export function parseTables(texts: readonly string[]): Map<string, MessageFact> {
  const out = new Map<string, MessageFact>();
  let prefix = '';
  for (const line of texts.join('\n').split('\n')) {
    if (line === '') continue;
    if (line.startsWith('@ ')) {
      prefix = line.slice(2);
      continue;
    }
    const colon = line.indexOf(':');
    const head = line.slice(0, colon);
    const name = head.replace('#', '');
    if (out.has(name)) throw new AppError({ code: 'apiserver/type-table', message: `type ${name} is declared twice` });
    out.set(name, {
      name,
      ref: `${prefix}.${name}`,
      atomic: head.endsWith('#'),
      fields: line
        .slice(colon + 1)
        .split(';')
        .map(parseField),
    });
  }
  return out;
}

function parseField(text: string): FieldFact {
  const [num, name, spec, ...mods] = text.trim().split(' ');
  if (num === undefined || name === undefined || spec === undefined) {
    throw new AppError({ code: 'apiserver/type-table', message: `bad field "${text}"` });
  }
  const m = /^(\*?)(\[\]|\{\})?([A-Za-z0-9]+)(!?)(#?)(?:=(\w+))?$/.exec(spec);
  if (m === null) throw new AppError({ code: 'apiserver/type-table', message: `bad type "${spec}"` });
  const merge = mods.find((x) => x.startsWith('~'))?.slice(1);
  const keys = mods.find((x) => x.startsWith('='))?.slice(1);
  const patch = mods.find((x) => x.startsWith('%'))?.slice(1);
  const listKeys = merge !== undefined ? [merge] : keys?.split(',');
  const mergeKey = merge ?? patch;
  return {
    num: Number(num),
    name,
    type: m[3] as string,
    list: m[2] === '[]',
    map: m[2] === '{}',
    pointer: m[1] === '*',
    required: m[4] === '!',
    inline: name === '~',
    atomic: m[5] === '#',
    ...(m[6] === undefined ? {} : { default: m[6] }),
    ...(listKeys === undefined ? {} : { listKeys }),
    ...(mods.includes('#set') ? { set: true } : {}),
    ...(mergeKey === undefined ? {} : { mergeKey }),
    ...(mods.includes('&') ? { retainKeys: true } : {}),
  };
}
