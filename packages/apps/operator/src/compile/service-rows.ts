// Rows of the load balancer's tables from what the service engine compiled. Called by services.ts.
import type { Row } from '@axoneme/datapath';
import { type Cidr, cidrBase, cidrBits, cidrFamily, ipBytes, ipFamily, protocolNumbers } from '@axoneme/model';
import {
  type BackendSet,
  backendsArtifactName,
  type CompiledService,
  MAGLEV_CHUNK,
  type MaglevSize,
  type MaglevTables,
  maglevArtifactName,
  type ServiceContent,
  sourceArtifactName,
} from '@axoneme/service';
import { type Artifact, rowArtifact } from './artifacts.ts';

export function backendsArtifact(set: BackendSet): Artifact {
  const pairs = [...set.backends, ...set.draining].map(
    (b, index): Row<'lb_slot'> => [
      { set: set.id, index },
      { addr: ipBytes(b.ip), port: b.port, family: ipFamily(b.ip), flags: 0, backendId: b.id },
    ],
  );
  return rowArtifact(backendsArtifactName(set.id), 'lb_slot', pairs);
}

export function frontendsArtifact(name: string, content: Pick<ServiceContent, 'frontends'>): Artifact {
  const pairs = content.frontends.map(
    (f): Row<'lb_frontend'> => [
      { addr: ipBytes(f.ip), port: f.port, proto: protocolNumbers[f.protocol], family: ipFamily(f.ip) },
      {
        setOut: f.setOut,
        setIn: f.setIn,
        countOut: f.countOut,
        countIn: f.countIn,
        maglevSize: f.maglevSize,
        serviceId: f.serviceId,
        affinityS: f.affinitySeconds,
        flags: f.flags,
      },
    ],
  );
  return rowArtifact(name, 'lb_frontend', pairs);
}

/** The last chunk is filled up with zeros, which nothing looks at. */
export function maglevArtifact(set: BackendSet, size: MaglevSize, tables: MaglevTables): Artifact {
  const table = tables.get(set.backends, size);
  const pairs = Array.from({ length: Math.ceil(table.length / MAGLEV_CHUNK) }, (_, chunk): Row<'lb_maglev'> => {
    const slot = Array.from({ length: MAGLEV_CHUNK }, () => 0);
    const part = table.subarray(chunk * MAGLEV_CHUNK, (chunk + 1) * MAGLEV_CHUNK);
    for (const [i, s] of part.entries()) slot[i] = s;
    return [{ set: set.id, chunk }, { slot }];
  });
  return rowArtifact(maglevArtifactName(set.id, size), 'lb_maglev', pairs);
}

/** Bits of the key before the address. */
const SOURCE_BITS = 64;

function sourceRow(serviceId: number, cidr: Cidr): Row<'lb_source'> {
  const key = { prefixlen: SOURCE_BITS + cidrBits(cidr), serviceId, family: cidrFamily(cidr), addr: ipBytes(cidrBase(cidr)) };
  return [key, { allowed: 1 }];
}

/** Undefined for a Service that admits everybody. */
export function sourceArtifact(service: CompiledService): Artifact | undefined {
  if (service.sources.length === 0) return undefined;
  const rows = service.sources.map((s) => sourceRow(s.serviceId, s.cidr));
  return rowArtifact(sourceArtifactName(service.key), 'lb_source', rows);
}
