// One stored form, several served versions: apiVersion of custom resources, and the two names of events. Used wherever objects leave or enter the store.
import { asObj } from '../obj.ts';
import { apiVersionOf, type Registry, type Resource } from '../registry.ts';
import type { KubeObject } from '../types.ts';

const converted = new WeakMap<KubeObject, Map<string, KubeObject>>();

/** The object as version `r` shows it. Same reference when nothing differs, so that cached bytes are shared. */
export function fromStorage(r: Resource, o: KubeObject): KubeObject {
  const apiVersion = apiVersionOf(r);
  if (o.apiVersion === apiVersion) return o;
  let versions = converted.get(o);
  if (versions === undefined) {
    versions = new Map();
    converted.set(o, versions);
  }
  let out = versions.get(apiVersion);
  if (out === undefined) {
    out = r.storage === '/events' ? groupEvent(o) : { ...o, apiVersion };
    versions.set(apiVersion, out);
  }
  return out;
}

export function toStorage(registry: Registry, r: Resource, o: KubeObject): KubeObject {
  if (r.group === 'events.k8s.io') return coreEvent(o);
  if (r.custom === undefined || r.custom.storageVersion === r.version) return o;
  const storage = registry.get({ group: r.group, version: r.custom.storageVersion, resource: r.resource });
  return storage === undefined ? o : { ...o, apiVersion: apiVersionOf(storage) };
}

function groupEvent(o: KubeObject): KubeObject {
  const { involvedObject, message, source, firstTimestamp, lastTimestamp, count, reportingComponent, ...rest } = o;
  return {
    ...rest,
    apiVersion: 'events.k8s.io/v1',
    regarding: involvedObject,
    note: message,
    deprecatedSource: source,
    deprecatedFirstTimestamp: firstTimestamp,
    deprecatedLastTimestamp: lastTimestamp,
    deprecatedCount: count,
    reportingController: reportingComponent,
    eventTime: o.eventTime ?? null,
  };
}

function coreEvent(o: KubeObject): KubeObject {
  const {
    regarding,
    note,
    deprecatedSource,
    deprecatedFirstTimestamp,
    deprecatedLastTimestamp,
    deprecatedCount,
    reportingController,
    ...rest
  } = o;
  return {
    ...rest,
    apiVersion: 'v1',
    involvedObject: asObj(regarding),
    message: note,
    source: deprecatedSource,
    firstTimestamp: deprecatedFirstTimestamp,
    lastTimestamp: deprecatedLastTimestamp,
    count: deprecatedCount,
    reportingComponent: reportingController,
  };
}
