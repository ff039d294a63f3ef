// One item of ingress, ingressDeny, egress or egressDeny → rule entries. Called by the parser of Cilium policies.

import type { EntryContext } from './entry-context.ts';
import { entryFields, parsePeers } from './parse-peers.ts';
import { type ParsedPorts, parsePorts } from './parse-ports.ts';
import { checkFields, type JsonObject, readObject, readString, shown } from './read.ts';
import { allTraffic, type RuleEntry } from './rules.ts';

/** One written entry becomes up to three: plain ports, ports with L7 rules, ports with other conditions. */
export function parseEntry(ctx: EntryContext, raw: JsonObject): Omit<RuleEntry, 'id'>[] {
  checkFields(ctx.issues, ctx.path, raw, entryFields[ctx.direction]);
  const to = parsePeers(ctx, raw);
  const ports = parsePorts(ctx, raw);
  const auth = parseAuthentication(ctx, raw);
  if (to === undefined && ports === undefined) {
    // `- {}` is the idiom for "isolate"; anything else without effect was probably not meant.
    if (ctx.deny || Object.keys(raw).length > 0) {
      ctx.issues.lint(
        ctx.path,
        `an entry without peers and ports ${ctx.deny ? 'denies' : 'allows'} nothing`,
        'name peers or ports; entity "all" means everyone',
      );
    }
    return [];
  }
  const parts: ParsedPorts = ports ?? { plain: [allTraffic], l7: [], other: [] };
  const base = { direction: ctx.direction, priority: 0, ...(to ?? { peers: [{ kind: 'any' } as const] }) };
  if (ctx.deny) return [{ ...base, action: 'deny', ports: parts.plain }];
  if (auth) return [{ ...base, action: 'redirect', condition: 'other', ports: [...parts.plain, ...parts.l7, ...parts.other] }];
  const out: Omit<RuleEntry, 'id'>[] = [{ ...base, action: 'allow', ports: parts.plain }];
  if (parts.l7.length > 0) out.push({ ...base, action: 'redirect', condition: 'l7', ports: parts.l7 });
  if (parts.other.length > 0) out.push({ ...base, action: 'redirect', condition: 'other', ports: parts.other });
  return out.filter((e) => e.ports.length > 0);
}

/** True if the entry asks for a check nobody makes yet. */
function parseAuthentication(ctx: EntryContext, raw: JsonObject): boolean {
  const path = `${ctx.path}.authentication`;
  const auth = readObject(ctx.issues, path, raw.authentication);
  if (auth === undefined) return false;
  if (ctx.deny) ctx.issues.error(path, 'is not possible in deny rules');
  checkFields(ctx.issues, path, auth, ['mode']);
  const mode = readString(ctx.issues, `${path}.mode`, auth.mode) ?? '';
  if (mode === 'disabled') return false;
  if (mode !== 'required' && mode !== 'test-always-fail')
    ctx.issues.error(`${path}.mode`, `unknown mode ${shown(mode)}`, 'use disabled, required or test-always-fail');
  else ctx.issues.unsupported(path, 'mutual authentication is not supported yet: the traffic it would admit is blocked');
  return true;
}
