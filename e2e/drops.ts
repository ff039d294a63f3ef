// What the programs of the nodes have dropped, as the agents' metrics tell it. Used by suites in which a packet that is lost must not have
// been lost by us.
import { AppError } from '@axoneme/std';
import type { Fixture } from './fixture.ts';

const METRICS = 'http://127.0.0.1:9879/metrics';
/** Reasons are told when there is a packet; this one always is. */
const ALWAYS = 'axoneme_agent_revision ';
const LINE = /^axoneme_drops_packets\{reason="([^"]+)",direction="(\w+)"\} (\d+)$/gm;

/** Packets since the maps were made, by node, reason and direction. */
export type Drops = ReadonlyMap<string, number>;

export async function dropsOf(f: Fixture): Promise<Drops> {
  const all = await Promise.all(
    f.sandbox.nodes.map(async ({ name }) => {
      const { stdout } = await f.sandbox.nodeExec(name, ['curl', '-sf', METRICS]);
      if (!stdout.includes(ALWAYS)) throw new AppError({ code: 'e2e/no-metrics', message: `the agent of ${name} tells no metrics` });
      return [...stdout.matchAll(LINE)].map((m): [string, number] => [`${name}: ${m[1]}, ${m[2]}`, Number(m[3])]);
    }),
  );
  return new Map(all.flat());
}

/** What has grown, without the reasons that are `expected`: a line each. */
export function dropsBetween(before: Drops, after: Drops, expected: readonly string[] = []): string[] {
  return [...after]
    .map(([what, n]) => ({ what, more: n - (before.get(what) ?? 0) }))
    .filter(({ what, more }) => more > 0 && !expected.some((reason) => what.includes(`: ${reason},`)))
    .map(({ what, more }) => `${more} × ${what}`);
}
