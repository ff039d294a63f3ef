// Reaches a Service from the server's own network: straight to one of its ready endpoints. Default of `onServiceDial`.
import { connect } from 'node:net';
import { AppError } from '@axoneme/std';
import { asList, asObj } from '../obj.ts';
import type { MemoryStore } from '../store/memory.ts';
import type { ServiceDial } from '../types.ts';

export function createEndpointDial(store: MemoryStore): ServiceDial {
  return async (ns, name, port) => {
    const service = store.get('/services', ns, name);
    const servicePort = asList(asObj(service?.spec).ports)
      .map(asObj)
      .find((p) => p.port === port);
    if (service === undefined || servicePort === undefined)
      throw new AppError({ code: 'apiserver/dial', message: `service "${name}" not found or without port ${port}` });
    const slices = store
      .list('discovery.k8s.io/endpointslices', ns)
      .filter((s) => s.metadata.labels?.['kubernetes.io/service-name'] === name);
    for (const s of slices) {
      const target = asList(s.ports)
        .map(asObj)
        .find((p) => (p.name ?? '') === (servicePort.name ?? ''));
      const ready = asList(s.endpoints)
        .map(asObj)
        .find((e) => asObj(e.conditions).ready !== false);
      const address = asList(ready?.addresses)[0];
      if (typeof target?.port === 'number' && typeof address === 'string') return connect({ host: address, port: target.port });
    }
    throw new AppError({ code: 'apiserver/dial', message: `no endpoints available for service "${name}"` });
  };
}
