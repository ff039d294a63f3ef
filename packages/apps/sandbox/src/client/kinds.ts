// The built-in collections that the sandbox's own parts read and write.
import type { Gvr } from '../apiserver/types.ts';

const core = (resource: string): Gvr => ({ group: '', version: 'v1', resource });
const apps = (resource: string): Gvr => ({ group: 'apps', version: 'v1', resource });

export const PODS = core('pods');
export const NODES = core('nodes');
export const SERVICES = core('services');
export const ENDPOINTS = core('endpoints');
export const CONFIG_MAPS = core('configmaps');
export const SECRETS = core('secrets');
export const NAMESPACES = core('namespaces');
export const SERVICE_ACCOUNTS = core('serviceaccounts');
export const EVENTS = core('events');
export const PERSISTENT_VOLUME_CLAIMS = core('persistentvolumeclaims');
export const DEPLOYMENTS = apps('deployments');
export const REPLICA_SETS = apps('replicasets');
export const DAEMON_SETS = apps('daemonsets');
export const STATEFUL_SETS = apps('statefulsets');
export const JOBS: Gvr = { group: 'batch', version: 'v1', resource: 'jobs' };
export const ENDPOINT_SLICES: Gvr = { group: 'discovery.k8s.io', version: 'v1', resource: 'endpointslices' };
export const LEASES: Gvr = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' };
