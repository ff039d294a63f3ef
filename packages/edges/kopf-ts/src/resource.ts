// Shapes of Kubernetes objects and addresses of their collections. Plain JSON: no typed model that could drop keys.

/** Address of one collection: `{group: '', version: 'v1', plural: 'pods', namespaced: true}`. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly kind?: string;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
}

/** Any object; `spec`, `status` and other top-level fields belong to the caller's own type. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** An object whose content is read field by field. */
export interface LooseObject extends KubeObject {
  readonly [field: string]: unknown;
}

/** Name of one object; `namespace` is required for namespaced resources. */
export interface ObjectRef {
  readonly name: string;
  readonly namespace?: string;
}

const core = (plural: string, kind: string, namespaced = true): Resource => ({ group: '', version: 'v1', plural, kind, namespaced });

/** Built-in collections that the operator and the CLI read. */
export const resources = {
  pods: core('pods', 'Pod'),
  services: core('services', 'Service'),
  configMaps: core('configmaps', 'ConfigMap'),
  secrets: core('secrets', 'Secret'),
  events: core('events', 'Event'),
  nodes: core('nodes', 'Node', false),
  namespaces: core('namespaces', 'Namespace', false),
  endpointSlices: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', kind: 'EndpointSlice', namespaced: true },
  leases: { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease', namespaced: true },
  crds: {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    namespaced: false,
  },
  tokenReviews: { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews', kind: 'TokenReview', namespaced: false },
} as const satisfies Record<string, Resource>;

export const apiVersionOf = (r: Resource): string => (r.group === '' ? r.version : `${r.group}/${r.version}`);

/** `namespace/name`, or `name` for cluster-scoped objects. */
export const keyOf = (o: KubeObject | ObjectRef): string => {
  const m = 'metadata' in o ? o.metadata : o;
  return m.namespace === undefined || m.namespace === '' ? m.name : `${m.namespace}/${m.name}`;
};

/** URL path of a collection (`ref` undefined: all namespaces), of one object, or of its subresource. */
export function pathOf(r: Resource, ref: { readonly namespace?: string; readonly name?: string } = {}, subresource?: string): string {
  const root = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
  const ns = r.namespaced && ref.namespace !== undefined && ref.namespace !== '' ? `/namespaces/${encodeURIComponent(ref.namespace)}` : '';
  const name = ref.name === undefined ? '' : `/${encodeURIComponent(ref.name)}`;
  return `${root}${ns}/${r.plural}${name}${subresource === undefined ? '' : `/${subresource}`}`;
}
