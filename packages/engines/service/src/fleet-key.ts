// Names of the Services that fleets of balancers become: no object of the API server has such a namespace. Asked by the compile and the reader.
import { type ObjectKey, objectKey, type PortProtocol } from '@axoneme/model';

const FLEET_NAMESPACE = 'axoneme:lbf';

/** `axoneme:lbf/edge.web-80-tcp` */
export const fleetKey = (fleet: string, service: string, port: number, protocol: PortProtocol): ObjectKey =>
  objectKey(FLEET_NAMESPACE, `${fleet}.${service}-${port}-${protocol.toLowerCase()}`);

/** The fleet it is of; undefined for a Service of the API server. Names of services have no dot. */
export function fleetOfKey(key: ObjectKey): string | undefined {
  if (!key.startsWith(`${FLEET_NAMESPACE}/`)) return undefined;
  return key.slice(FLEET_NAMESPACE.length + 1, key.lastIndexOf('.'));
}
