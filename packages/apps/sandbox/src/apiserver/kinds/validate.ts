// Semantic checks of built-in kinds. Returns causes; the caller makes the 422. Called by ../rest/prepare.ts.
import { isIP } from 'node:net';
import { crdCauses } from '../crd/check.ts';
import { asList, asObj, equal, type Obj } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { type Cause, duplicateValue, forbiddenField, invalidValue, requiredValue, unsupportedValue } from '../status-error.ts';
import { selectorMatches } from '../store/selector.ts';
import type { KubeObject } from '../types.ts';
import { metaCauses, selectorCauses } from './names.ts';
import { podSpecCauses, podUpdateCauses, portCause } from './validate-pod.ts';

type Check = (o: KubeObject, old: KubeObject | undefined, spec: Obj, oldSpec: Obj | undefined) => Cause[];

const immutable = (field: string, v: unknown, old: unknown): Cause[] =>
  equal(v, old) ? [] : [invalidValue(field, v, 'field is immutable')];

function workload(restart: readonly string[], fixed: readonly string[] = ['selector']): Check {
  return (_o, old, spec, oldSpec) => {
    const out: Cause[] = [];
    const labels = asObj(asObj(asObj(spec.template).metadata).labels) as Record<string, string>;
    const sel = asObj(spec.selector);
    if (asObj(sel.matchLabels) !== sel.matchLabels && asList(sel.matchExpressions).length === 0) out.push(requiredValue('spec.selector'));
    else {
      out.push(...selectorCauses(sel, 'spec.selector'));
      if (!selectorMatches(sel, labels))
        out.push(invalidValue('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'));
    }
    if (typeof spec.replicas === 'number' && spec.replicas < 0)
      out.push(invalidValue('spec.replicas', spec.replicas, 'must be greater than or equal to 0'));
    out.push(...podSpecCauses(asObj(asObj(spec.template).spec), 'spec.template.spec', restart));
    if (old !== undefined) for (const f of fixed) out.push(...immutable(`spec.${f}`, spec[f], oldSpec?.[f]));
    return out;
  };
}

const serviceTypes = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];

const service: Check = (_o, _old, spec) => {
  const out: Cause[] = [];
  const ports = asList(spec.ports);
  if (!serviceTypes.includes(String(spec.type))) out.push(unsupportedValue('spec.type', spec.type, serviceTypes));
  if (spec.type === 'ExternalName') {
    if (spec.externalName === undefined) out.push(requiredValue('spec.externalName'));
  } else if (ports.length === 0 && spec.clusterIP !== 'None') out.push(requiredValue('spec.ports'));
  const names = new Set<string>();
  const taken = new Set<string>();
  ports.forEach((p, i) => {
    const at = `spec.ports[${i}]`;
    const { name, port, protocol, targetPort } = asObj(p);
    if (ports.length > 1 && name === undefined) out.push(requiredValue(`${at}.name`));
    if (name !== undefined && names.has(String(name))) out.push(duplicateValue(`${at}.name`, name));
    names.add(String(name));
    const bad = portCause(`${at}.port`, port);
    if (bad !== undefined) out.push(bad);
    if (typeof targetPort === 'number') {
      const badTarget = portCause(`${at}.targetPort`, targetPort);
      if (badTarget !== undefined) out.push(badTarget);
    }
    if (!['TCP', 'UDP', 'SCTP'].includes(String(protocol))) out.push(unsupportedValue(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']));
    if (taken.has(`${port}/${protocol}`)) out.push(duplicateValue(at, { port, protocol }));
    taken.add(`${port}/${protocol}`);
  });
  const affinity = ['ClientIP', 'None'];
  if (!affinity.includes(String(spec.sessionAffinity))) out.push(unsupportedValue('spec.sessionAffinity', spec.sessionAffinity, affinity));
  for (const ip of asList(spec.externalIPs))
    if (isIP(String(ip)) === 0) out.push(invalidValue('spec.externalIPs', ip, 'must be a valid IP address'));
  return out;
};

const ipBlockCauses = (block: unknown, at: string): Cause[] => {
  const { cidr } = asObj(block);
  const [ip, bits] = String(cidr ?? '').split('/');
  const family = isIP(ip ?? '');
  const n = Number(bits);
  const good = family !== 0 && bits !== undefined && /^\d+$/.test(bits) && n <= (family === 4 ? 32 : 128);
  return good ? [] : [invalidValue(`${at}.ipBlock.cidr`, cidr ?? '', 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
};

const networkPolicy: Check = (_o, _old, spec) => {
  const out = selectorCauses(spec.podSelector, 'spec.podSelector');
  for (const [dir, peers] of [
    ['ingress', 'from'],
    ['egress', 'to'],
  ] as const) {
    asList(spec[dir]).forEach((rule, i) => {
      asList(asObj(rule)[peers]).forEach((peer, j) => {
        const at = `spec.${dir}[${i}].${peers}[${j}]`;
        const { ipBlock, podSelector, namespaceSelector } = asObj(peer);
        if (ipBlock === undefined && podSelector === undefined && namespaceSelector === undefined)
          out.push(requiredValue(at, 'must specify a peer'));
        if (ipBlock !== undefined && (podSelector !== undefined || namespaceSelector !== undefined))
          out.push(forbiddenField(at, 'may not specify both ipBlock and another peer'));
        if (ipBlock !== undefined) out.push(...ipBlockCauses(ipBlock, at));
        out.push(...selectorCauses(podSelector, `${at}.podSelector`), ...selectorCauses(namespaceSelector, `${at}.namespaceSelector`));
      });
      asList(asObj(rule).ports).forEach((p, j) => {
        const { port, endPort, protocol } = asObj(p);
        const at = `spec.${dir}[${i}].ports[${j}]`;
        if (!['TCP', 'UDP', 'SCTP'].includes(String(protocol)))
          out.push(unsupportedValue(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']));
        if (typeof port === 'number') {
          const bad = portCause(`${at}.port`, port);
          if (bad !== undefined) out.push(bad);
          if (typeof endPort === 'number' && endPort < port)
            out.push(invalidValue(`${at}.endPort`, endPort, 'must be greater than or equal to `port`'));
        } else if (endPort !== undefined)
          out.push(forbiddenField(`${at}.endPort`, 'may not be specified when `port` is non-numeric or not specified'));
      });
    });
  }
  return out;
};

const frozenData: Check = (o, old) => {
  const out: Cause[] = [];
  for (const key of Object.keys({ ...asObj(o.data), ...asObj(o.binaryData) })) {
    if (!/^[-._a-zA-Z0-9]+$/.test(key)) {
      out.push(
        invalidValue(
          `data[${key}]`,
          key,
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
      );
    }
  }
  if (old?.immutable === true) {
    if (o.immutable !== true) out.push(forbiddenField('immutable', 'field is immutable when `immutable` is set'));
    for (const f of ['data', 'binaryData'])
      if (!equal(o[f], old[f])) out.push(forbiddenField(f, 'field is immutable when `immutable` is set'));
  }
  return out;
};

const roleRef: Check = (o, old) => {
  const ref = asObj(o.roleRef);
  const out = ref.name === undefined || ref.name === '' ? [requiredValue('roleRef.name')] : [];
  if (old !== undefined && !equal(o.roleRef, old.roleRef)) out.push(invalidValue('roleRef', o.roleRef, 'cannot change roleRef'));
  return out;
};

const rules: Check = (o) =>
  asList(o.rules).flatMap((r, i) =>
    asList(asObj(r).verbs).length === 0 ? [requiredValue(`rules[${i}].verbs`, 'verbs must contain at least one value')] : [],
  );

const job = workload(['OnFailure', 'Never'], ['selector', 'completionMode']);

const cronJob: Check = (_o, _old, spec) => {
  const text = String(spec.schedule ?? '');
  if (text === '') return [requiredValue('spec.schedule')];
  const fields = text.trim().split(/\s+/);
  if (text.startsWith('@') || fields.length === 5) return [];
  return [invalidValue('spec.schedule', text, `expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`)];
};

const byType: Readonly<Record<string, Check>> = {
  Pod: (_o, old, spec, oldSpec) =>
    old === undefined ? podSpecCauses(spec, 'spec') : [...podSpecCauses(spec, 'spec'), ...podUpdateCauses(spec, oldSpec ?? {})],
  Deployment: workload(['Always']),
  ReplicaSet: workload(['Always']),
  DaemonSet: workload(['Always']),
  StatefulSet: workload(['Always'], ['selector', 'serviceName', 'podManagementPolicy', 'volumeClaimTemplates']),
  Job: (o, old, spec, oldSpec) => [
    ...job(o, old, spec, oldSpec),
    ...(old !== undefined && asObj(oldSpec).suspend !== true ? immutable('spec.template', spec.template, oldSpec?.template) : []),
  ],
  CronJob: cronJob,
  Service: service,
  NetworkPolicy: networkPolicy,
  ConfigMap: frozenData,
  Secret: (o, old, spec, oldSpec) => [
    ...frozenData(o, old, spec, oldSpec),
    ...(old === undefined ? [] : immutable('type', o.type, old.type)),
  ],
  RoleBinding: roleRef,
  ClusterRoleBinding: roleRef,
  Role: rules,
  ClusterRole: (o, old, spec, oldSpec) => (o.aggregationRule === undefined ? rules(o, old, spec, oldSpec) : []),
  PodDisruptionBudget: (_o, _old, spec) => [
    ...(spec.minAvailable !== undefined && spec.maxUnavailable !== undefined
      ? [invalidValue('spec', {}, 'minAvailable and maxUnavailable cannot be both set')]
      : []),
    ...selectorCauses(spec.selector, 'spec.selector'),
  ],
  PriorityClass: (o, old) => (old === undefined ? [] : immutable('value', o.value, old.value)),
  StorageClass: (o, old) => (old === undefined ? [] : immutable('provisioner', o.provisioner, old.provisioner)),
  EndpointSlice: (o, old) => {
    const types = ['IPv4', 'IPv6', 'FQDN'];
    const out = types.includes(String(o.addressType)) ? [] : [unsupportedValue('addressType', o.addressType ?? '', types)];
    if (old !== undefined) out.push(...immutable('addressType', o.addressType, old.addressType));
    return out;
  },
  Ingress: (_o, _old, spec) =>
    spec.defaultBackend === undefined && asList(spec.rules).length === 0
      ? [invalidValue('spec', {}, 'either `defaultBackend` or `rules` must be specified')]
      : [],
  Lease: (_o, _old, spec) =>
    typeof spec.leaseDurationSeconds === 'number' && spec.leaseDurationSeconds <= 0
      ? [invalidValue('spec.leaseDurationSeconds', spec.leaseDurationSeconds, 'must be greater than 0')]
      : [],
  CustomResourceDefinition: (o, old) => crdCauses(o, old),
};

/** All causes of a built-in object; metadata rules hold for custom resources too. */
export function validateObject(r: Resource, o: KubeObject, old: KubeObject | undefined): Cause[] {
  const out = metaCauses(r, o);
  const check = byType[r.typeName];
  if (check !== undefined) out.push(...check(o, old, asObj(o.spec), old === undefined ? undefined : asObj(old.spec)));
  return out;
}
