// What makes a pod spec acceptable, and what may change in one. Called by ./validate.ts.
import { asList, asObj, equal, type Obj } from '../obj.ts';
import { type Cause, duplicateValue, forbiddenField, invalidValue, requiredValue, unsupportedValue } from '../status-error.ts';
import { dnsLabelCause } from './names.ts';

export function podSpecCauses(spec: Obj, field: string, allowed: readonly string[] = ['Always', 'OnFailure', 'Never']): Cause[] {
  const out: Cause[] = [];
  const containers = asList(spec.containers);
  if (containers.length === 0) out.push(requiredValue(`${field}.containers`));
  const volumes = new Set<string>();
  asList(spec.volumes).forEach((v, i) => {
    const name = String(asObj(v).name ?? '');
    out.push(...nameCauses(name, `${field}.volumes[${i}].name`, volumes));
  });
  const names = new Set<string>();
  containers.forEach((c, i) => {
    out.push(...containerCauses(asObj(c), `${field}.containers[${i}]`, names, volumes));
  });
  asList(spec.initContainers).forEach((c, i) => {
    out.push(...containerCauses(asObj(c), `${field}.initContainers[${i}]`, names, volumes));
  });
  if (!allowed.includes(String(spec.restartPolicy))) out.push(unsupportedValue(`${field}.restartPolicy`, spec.restartPolicy, allowed));
  const dns = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];
  if (!dns.includes(String(spec.dnsPolicy))) out.push(unsupportedValue(`${field}.dnsPolicy`, spec.dnsPolicy, dns));
  const grace = spec.terminationGracePeriodSeconds;
  if (typeof grace === 'number' && grace < 0)
    out.push(invalidValue(`${field}.terminationGracePeriodSeconds`, grace, 'must be greater than or equal to 0'));
  asList(spec.tolerations).forEach((t, i) => {
    const op = asObj(t).operator;
    if (op !== undefined && op !== 'Exists' && op !== 'Equal')
      out.push(unsupportedValue(`${field}.tolerations[${i}].operator`, op, ['Equal', 'Exists']));
  });
  return out;
}

function nameCauses(name: string, field: string, seen: Set<string>): Cause[] {
  if (name === '') return [requiredValue(field)];
  const bad = dnsLabelCause(field, name);
  const out = bad === undefined ? [] : [bad];
  if (seen.has(name)) out.push(duplicateValue(field, name));
  seen.add(name);
  return out;
}

function containerCauses(c: Obj, field: string, names: Set<string>, volumes: ReadonlySet<string>): Cause[] {
  const out = nameCauses(String(c.name ?? ''), `${field}.name`, names);
  if (c.image === undefined || c.image === '') out.push(requiredValue(`${field}.image`));
  const ports = new Set<string>();
  asList(c.ports).forEach((p, i) => {
    const { containerPort, protocol, name } = asObj(p);
    const at = `${field}.ports[${i}]`;
    const bad = portCause(`${at}.containerPort`, containerPort);
    if (bad !== undefined) out.push(bad);
    if (!['TCP', 'UDP', 'SCTP'].includes(String(protocol))) out.push(unsupportedValue(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']));
    if (typeof name === 'string') {
      if (ports.has(name)) out.push(duplicateValue(`${at}.name`, name));
      ports.add(name);
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) || name.length > 15)
        out.push(invalidValue(`${at}.name`, name, 'must be no more than 15 characters'));
    }
  });
  asList(c.volumeMounts).forEach((m, i) => {
    const { name, mountPath } = asObj(m);
    const at = `${field}.volumeMounts[${i}]`;
    if (!volumes.has(String(name ?? '')))
      out.push({ reason: 'FieldValueNotFound', field: `${at}.name`, message: `Not found: ${JSON.stringify(name ?? '')}` });
    if (mountPath === undefined || mountPath === '') out.push(requiredValue(`${at}.mountPath`));
  });
  asList(c.env).forEach((e, i) => {
    if (asObj(e).name === undefined || asObj(e).name === '') out.push(requiredValue(`${field}.env[${i}].name`));
  });
  const pull = ['Always', 'IfNotPresent', 'Never'];
  if (!pull.includes(String(c.imagePullPolicy))) out.push(unsupportedValue(`${field}.imagePullPolicy`, c.imagePullPolicy, pull));
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    if (c[probe] === undefined) continue;
    const p = asObj(c[probe]);
    if (['exec', 'httpGet', 'tcpSocket', 'grpc'].every((k) => p[k] === undefined))
      out.push(requiredValue(`${field}.${probe}`, 'must specify a handler type'));
  }
  return out;
}

export function portCause(field: string, port: unknown): Cause | undefined {
  const good = typeof port === 'number' && port >= 1 && port <= 65_535;
  return good ? undefined : invalidValue(field, port, 'must be between 1 and 65535, inclusive');
}

/** Only images, deadlines, tolerations (grown) and a few more may change in a pod that exists. */
export function podUpdateCauses(spec: Obj, old: Obj): Cause[] {
  const free = [
    'activeDeadlineSeconds',
    'tolerations',
    'terminationGracePeriodSeconds',
    'schedulingGates',
    'nodeSelector',
    'affinity',
    'ephemeralContainers',
  ];
  const shape = (s: Obj): Obj => {
    const out: Obj = { ...s };
    for (const k of free) delete out[k];
    if (asList(old.schedulingGates).length === 0) {
      out.nodeSelector = s.nodeSelector;
      out.affinity = s.affinity;
    }
    for (const k of ['containers', 'initContainers']) out[k] = asList(s[k]).map((c) => ({ ...asObj(c), image: '', resources: {} }));
    if (old.nodeName === undefined) delete out.nodeName;
    return out;
  };
  if (equal(shape(spec), shape(old))) return [];
  return [
    forbiddenField(
      'spec',
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ),
  ];
}

/** What a kubelet may not write: another QoS class, several addresses of one family. */
export function podStatusCauses(status: Obj, old: Obj): Cause[] {
  const out: Cause[] = [];
  if (old.qosClass !== undefined && status.qosClass !== undefined && status.qosClass !== old.qosClass)
    out.push(invalidValue('status.qosClass', status.qosClass, 'field is immutable'));
  const ips = asList(status.podIPs).map((p) => String(asObj(p).ip));
  const v6 = ips.filter((ip) => ip.includes(':')).length;
  if (v6 > 1 || ips.length - v6 > 1)
    out.push(invalidValue('status.podIPs', status.podIPs, 'may specify no more than one IP for each IP family'));
  return out;
}
