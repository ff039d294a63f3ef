// What nodes answer to load balancers that ask for a Service (healthCheckNodePort), from what the service engine counted. Called by services.ts.
import { blobTables } from '@axoneme/datapath';
import type { ObjectKey } from '@axoneme/model';
import { HealthCheck } from '@axoneme/proto';
import type { ServiceContent } from '@axoneme/service';
import { type Artifact, blobArtifact } from './artifacts.ts';

export const healthArtifactName = (key: ObjectKey): string => `health/${key}`;

/** Undefined for a Service that nobody asks about. */
export function healthArtifact(key: ObjectKey, { health }: Pick<ServiceContent, 'health'>): Artifact | undefined {
  if (health === undefined) return undefined;
  const [namespace = '', service = ''] = key.split('/');
  const blob = HealthCheck.encode({ namespace, service, port: health.port, localEndpoints: health.local }).finish();
  return blobArtifact(healthArtifactName(key), blobTables.health.name, blob);
}
