// Label selectors in the short text form of annotations and command lines: `a=b,c!=d,e in (f,g),!h,i`. Called by the reader of Services.
import { compileSelector, type LabelSelectorRequirement, type Selector } from '@axoneme/model';
import { fail, type Result } from '@axoneme/std';

const part =
  /^(?:!\s*(?<absent>\S+)|(?<listed>\S+)\s+(?<how>in|notin)\s*\((?<values>[^()]*)\)|(?<key>[^\s=!]+)\s*(?:(?<sign>==|=|!=)\s*(?<value>\S*))?)$/;

/** Commas outside of parentheses part requirements. */
const split = (text: string): string[] =>
  text
    .split(/,(?![^(]*\))/)
    .map((p) => p.trim())
    .filter((p) => p !== '');

function requirement(text: string): LabelSelectorRequirement | undefined {
  const g = part.exec(text)?.groups;
  if (g === undefined) return undefined;
  if (g.absent !== undefined) return { key: g.absent, operator: 'DoesNotExist' };
  if (g.listed !== undefined)
    return { key: g.listed, operator: g.how === 'in' ? 'In' : 'NotIn', values: (g.values ?? '').split(',').map((v) => v.trim()) };
  if (g.sign === undefined) return { key: g.key ?? '', operator: 'Exists' };
  return { key: g.key ?? '', operator: g.sign === '!=' ? 'NotIn' : 'In', values: [g.value ?? ''] };
}

/** Empty text selects everything. */
export function selectorFromText(text: string): Result<Selector> {
  const matchExpressions: LabelSelectorRequirement[] = [];
  for (const p of split(text)) {
    const r = requirement(p);
    if (r === undefined)
      return fail({
        code: 'service/invalid-selector',
        message: `"${p.slice(0, 60)}" is not a requirement`,
        hint: 'write key=value, key in (a,b) or !key',
      });
    matchExpressions.push(r);
  }
  return compileSelector({ matchExpressions });
}
