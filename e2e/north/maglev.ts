// A client keeps its backend whichever node it comes to: with Maglev all nodes and all addresses of a Service choose alike. Part of the
// suite of Services from everywhere.
import { expect, test } from '@jest/globals';
import type { Asker, Cell, Family, Kind, Protocol } from './rule.ts';
import type { Numbered, Stage } from './stage.ts';

export const maglevService: Numbered = {
  shape: { name: 'maglev', place: 'both', external: 'Cluster', internal: 'Cluster', mode: 'snat' },
  number: 80,
  annotations: { 'service.cilium.io/lb-algorithm': 'maglev' },
};

const FLOWS = 64;
const FIRST_PORT = 21_000;

export function describeMaglev(stage: () => Stage): void {
  /** The backends of flows with the same source ports, in order. */
  const chosen = async (cell: Cell): Promise<string[]> => {
    const s = stage();
    const { address, port } = s.targetOf(cell);
    const flows = Array.from({ length: FLOWS }, (_, i) => ({
      protocol: cell.protocol,
      address,
      port,
      timeoutMs: 5000,
      sourcePort: FIRST_PORT + i,
    }));
    return (await s.clientOf(cell.asker).ask(flows)).map((a) => (typeof a === 'string' ? a : a.backend));
  };

  test('Maglev: a flow has the same backend by every node and every address of the Service', async () => {
    const s = stage();
    const asker: Asker = s.askers.find((a) => a.kind === 'outside')!;
    const kinds: readonly Kind[] = ['NodePort', 'LoadBalancer', 'ExternalIP'];
    const seen = new Map<string, { by: string; backends: string[] }[]>();
    for (const via of s.nodes) {
      await s.routeBy(via);
      for (const family of [4, 6] as readonly Family[])
        for (const protocol of ['TCP', 'UDP'] as readonly Protocol[])
          for (const kind of kinds) {
            const flow = `IPv${family} ${protocol}`;
            const backends = await chosen({ service: maglevService.shape, kind, family, protocol, asker, via });
            seen.set(flow, [...(seen.get(flow) ?? []), { by: `${kind} by ${via.name}`, backends }]);
          }
    }
    for (const [flow, ways] of seen) {
      const [first, ...others] = ways;
      expect({ flow, backends: [...new Set(first!.backends)].sort() }).toEqual({ flow, backends: ['b1', 'b2', 'b3'] });
      for (const o of others) expect({ flow, ...o }).toEqual({ flow, by: o.by, backends: first!.backends });
    }
  }, 60_000);
}
