// The main end-to-end suite: one sandbox of two nodes, installed by Helm, real packets.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeAdmission } from './admission.ts';
import { describeBadInput } from './bad-input.ts';
import { type Fixture, upFixture } from './fixture.ts';
import { describeKills } from './kills.ts';
import { describeKubectl, describeUninstall } from './kubectl.ts';
import { describePaths } from './paths.ts';
import { describePolicies } from './policies.ts';
import { describeProtocols } from './protocols.ts';
import { describeRedirects } from './redirects.ts';
import { describeServices } from './services.ts';
import { describeStatus } from './status.ts';
import { describeTrust } from './trust.ts';

/** Everything on this machine that still carries the sandbox's id. */
function leftovers(id: string): string[] {
  const lines = (text: string): string[] => text.split('\n').filter((l) => l.includes(id));
  const sh = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' });
  return [
    ...lines(sh('ip', '-o', 'link')),
    ...lines(sh('ip', 'netns')),
    ...lines(fs.readFileSync('/proc/mounts', 'utf8')),
    ...lines(sh('find', '/sys/fs/cgroup', '/sys/fs/bpf', '-maxdepth', '4', '-name', `*${id}*`)),
    ...lines(sh('ps', '-eo', 'args')).filter((l) => !l.startsWith('ps ')),
  ];
}

describe('Axoneme on a sandbox of two nodes', () => {
  let fixture: Fixture | undefined;
  const get = (): Fixture => {
    if (fixture === undefined) throw new Error('the sandbox did not come up');
    return fixture;
  };

  beforeAll(async () => {
    fixture = await upFixture('e2e', 2, ['--set', 'localRedirectPolicies.enabled=true']);
  }, 240_000);

  afterAll(async () => {
    await fixture?.sandbox.down();
  }, 60_000);

  describePaths(get);
  describeServices(get);
  describeRedirects(get);
  // VXLAN over IPv4
  describeProtocols(get, 50);
  describeTrust(get);
  describeKubectl(get);
  describeAdmission(get);
  describePolicies(get);
  describeStatus(get);
  describeBadInput(get);
  describeKills(get);
  describeUninstall(get);

  test('down leaves nothing behind', async () => {
    const { id } = get().sandbox;
    await get().sandbox.down();
    expect(leftovers(id)).toEqual([]);
  }, 60_000);
});
