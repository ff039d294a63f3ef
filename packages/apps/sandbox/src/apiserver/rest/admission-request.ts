// What admission is asked about one operation. Called by ./write.ts and ./delete.ts.
import type { Resource } from '../registry.ts';
import type { AdmissionRequest, KubeObject } from '../types.ts';
import type { WriteContext } from './context.ts';

export function admissionRequest(
  r: Resource,
  op: AdmissionRequest['operation'],
  ns: string,
  o: KubeObject | undefined,
  old: KubeObject | undefined,
  ctx: WriteContext,
): AdmissionRequest {
  const name = o?.metadata.name ?? old?.metadata.name ?? '';
  return {
    operation: op,
    gvr: { group: r.group, version: r.version, resource: r.resource },
    kind: r.kind,
    subresource: ctx.subresource,
    namespace: ns,
    name,
    object: o,
    oldObject: old,
    user: ctx.user,
    dryRun: ctx.dryRun,
  };
}
