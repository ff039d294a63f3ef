// Name, label and annotation rules. Used by every validation.
import { asList, asObj, isObj } from '../obj.ts';
import type { Resource } from '../registry.ts';
import { type Cause, invalidValue, requiredValue } from '../status-error.ts';
import type { KubeObject } from '../types.ts';

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedPart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelText =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const label1035Text =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const labelValueText =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const qualifiedText =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

export const isDnsLabel = (s: string): boolean => s.length <= 63 && label.test(s);
export const isSubdomain = (s: string): boolean => s.length <= 253 && subdomain.test(s);

const labelNamed = new Set(['/namespaces']);
const pathNamed = new Set([
  'rbac.authorization.k8s.io/roles',
  'rbac.authorization.k8s.io/rolebindings',
  'rbac.authorization.k8s.io/clusterroles',
  'rbac.authorization.k8s.io/clusterrolebindings',
  'networking.k8s.io/ipaddresses',
]);

export function nameCause(r: Resource, name: string): Cause | undefined {
  const field = 'metadata.name';
  if (pathNamed.has(r.storage)) {
    return /[/%]/.test(name) || name === '.' || name === '..' ? invalidValue(field, name, "may not contain '/' or '%'") : undefined;
  }
  if (r.storage === '/services') return name.length <= 63 && label1035.test(name) ? undefined : invalidValue(field, name, label1035Text);
  if (labelNamed.has(r.storage)) return isDnsLabel(name) ? undefined : invalidValue(field, name, labelText);
  return isSubdomain(name) ? undefined : invalidValue(field, name, subdomainText);
}

export function dnsLabelCause(field: string, v: string): Cause | undefined {
  return isDnsLabel(v) ? undefined : invalidValue(field, v, labelText);
}

function qualifiedCause(field: string, key: string): Cause | undefined {
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  if (slash >= 0 && !isSubdomain(key.slice(0, slash))) return invalidValue(field, key, `prefix part ${subdomainText}`);
  if (name.length > 63) return invalidValue(field, key, 'name part must be no more than 63 bytes');
  return qualifiedPart.test(name) ? undefined : invalidValue(field, key, qualifiedText);
}

export function labelCauses(labels: unknown, field: string): Cause[] {
  const out: Cause[] = [];
  for (const [k, v] of Object.entries(asObj(labels))) {
    const bad = qualifiedCause(field, k);
    if (bad !== undefined) out.push(bad);
    const text = String(v);
    if (text.length > 63) out.push(invalidValue(field, v, 'must be no more than 63 bytes'));
    else if (!labelValue.test(text)) out.push(invalidValue(field, v, labelValueText));
  }
  return out;
}

/** Rules every object's metadata obeys. */
export function metaCauses(r: Resource, o: KubeObject): Cause[] {
  const out: Cause[] = [];
  const m = o.metadata;
  const name = m.name ?? '';
  if (name === '') out.push(requiredValue('metadata.name', 'name or generateName is required'));
  else {
    const bad = nameCause(r, name);
    if (bad !== undefined) out.push(bad);
  }
  out.push(...labelCauses(m.labels, 'metadata.labels'));
  let size = 0;
  for (const [k, v] of Object.entries(m.annotations ?? {})) {
    const bad = qualifiedCause('metadata.annotations', k.toLowerCase());
    if (bad !== undefined) out.push(bad);
    size += Buffer.byteLength(k) + Buffer.byteLength(String(v));
  }
  if (size > 262_144)
    out.push({ reason: 'FieldValueTooLong', field: 'metadata.annotations', message: 'Too long: may not be more than 262144 bytes' });
  asList(m.ownerReferences).forEach((ref, i) => {
    if (!isObj(ref)) return;
    for (const key of ['apiVersion', 'kind', 'name', 'uid']) {
      if (ref[key] === undefined || ref[key] === '')
        out.push(invalidValue(`metadata.ownerReferences[${i}].${key}`, '', 'must not be empty'));
    }
  });
  for (const f of m.finalizers ?? []) {
    const bad = qualifiedCause('metadata.finalizers', f);
    if (bad !== undefined) out.push(bad);
  }
  return out;
}

/** A LabelSelector object. */
export function selectorCauses(sel: unknown, field: string): Cause[] {
  const out = labelCauses(asObj(sel).matchLabels, `${field}.matchLabels`);
  asList(asObj(sel).matchExpressions).forEach((e, i) => {
    const at = `${field}.matchExpressions[${i}]`;
    const { key, operator, values } = asObj(e);
    const bad = qualifiedCause(`${at}.key`, String(key ?? ''));
    if (bad !== undefined) out.push(bad);
    const n = asList(values).length;
    if (operator === 'In' || operator === 'NotIn') {
      if (n === 0) out.push(requiredValue(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      if (n > 0)
        out.push({
          reason: 'FieldValueForbidden',
          field: `${at}.values`,
          message: "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        });
    } else out.push(invalidValue(`${at}.operator`, operator, 'not a valid selector operator'));
  });
  return out;
}
