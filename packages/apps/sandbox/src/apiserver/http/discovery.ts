// Discovery: aggregated v2 and the legacy lists. Called by ./router.ts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { digestOf } from '@axoneme/std';
import { compareVersions } from '../crd/establish.ts';
import type { Registry, Resource } from '../registry.ts';
import { noSuchPath } from '../status-error.ts';
import { parseAccept } from './negotiate.ts';
import { sendBytes, sendJson } from './respond.ts';

const storedVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
}

function subresourceOf(r: Resource, name: string): Subresource {
  const own = { name, kind: r.kind, group: r.group, version: r.version };
  switch (name) {
    case 'scale':
      return { name, kind: 'Scale', group: 'autoscaling', version: 'v1', verbs: ['get', 'patch', 'update'] };
    case 'token':
      return { name, kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] };
    case 'eviction':
      return { name, kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] };
    case 'binding':
      return { name, kind: 'Binding', group: '', version: 'v1', verbs: ['create'] };
    case 'log':
      return { ...own, verbs: ['get'] };
    case 'exec':
    case 'attach':
    case 'portforward':
      return {
        name,
        kind: `Pod${name === 'exec' ? 'Exec' : name === 'attach' ? 'Attach' : 'PortForward'}Options`,
        group: '',
        version: 'v1',
        verbs: ['create', 'get'],
      };
    case 'proxy':
      return { name, kind: `${r.kind}ProxyOptions`, group: '', version: 'v1', verbs: ['create', 'delete', 'get', 'patch', 'update'] };
    case 'finalize':
      return { ...own, verbs: ['update'] };
    default:
      return { ...own, verbs: ['get', 'patch', 'update'] };
  }
}

const verbsOf = (r: Resource): readonly string[] => (r.virtual ? ['create'] : storedVerbs);

export interface Discovery {
  /** True when the path was discovery and has been answered. */
  handle(req: IncomingMessage, res: ServerResponse, pathname: string): boolean;
}

export function createDiscovery(registry: Registry): Discovery {
  let builtFor = -1;
  let cache = new Map<string, { readonly bytes: Buffer; readonly etag: string }>();
  const cached = (key: string, make: () => unknown): { readonly bytes: Buffer; readonly etag: string } => {
    if (builtFor !== registry.generation()) {
      cache = new Map();
      builtFor = registry.generation();
    }
    let hit = cache.get(key);
    if (hit === undefined) {
      const bytes = Buffer.from(JSON.stringify(make()));
      hit = { bytes, etag: `"${digestOf(bytes).toUpperCase()}"` };
      cache.set(key, hit);
    }
    return hit;
  };
  const aggregated = (req: IncomingMessage, res: ServerResponse, path: string): void => {
    const { bytes, etag } = cached(path, () => aggregatedList(registry, path === '/api'));
    res.setHeader('ETag', etag);
    res.setHeader('Vary', 'Accept');
    if (req.headers['if-none-match'] === etag) {
      res.writeHead(304);
      res.end();
    } else sendBytes(res, 200, bytes, aggregatedType);
  };
  const wantsV2 = (req: IncomingMessage): boolean =>
    parseAccept(req.headers.accept).some(
      (o) => o.type === 'application/json' && o.params.get('g') === 'apidiscovery.k8s.io' && o.params.get('v') === 'v2',
    );
  return {
    handle(req, res, pathname) {
      const path = pathname.replace(/\/$/, '');
      if (path === '/api' || path === '/apis') {
        if (wantsV2(req)) aggregated(req, res, path);
        else if (path === '/api') sendJson(res, 200, { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] });
        else
          sendJson(res, 200, { kind: 'APIGroupList', apiVersion: 'v1', groups: groupsOf(registry).map(([g, vs]) => legacyGroup(g, vs)) });
        return true;
      }
      const m = /^\/(?:api\/(v1)|apis\/([^/]+)(?:\/([^/]+))?)$/.exec(path);
      if (m === null) return false;
      const group = m[2] ?? '';
      const version = m[1] ?? m[3];
      if (version === undefined) {
        const found = groupsOf(registry).find(([g]) => g === group);
        if (found === undefined) throw noSuchPath();
        sendJson(res, 200, { kind: 'APIGroup', apiVersion: 'v1', ...legacyGroup(...found) });
        return true;
      }
      const rs = registry.all().filter((r) => r.group === group && r.version === version);
      if (rs.length === 0) throw noSuchPath();
      sendBytes(res, 200, cached(path, () => legacyResources(group, version, rs)).bytes);
      return true;
    },
  };
}

/** Named groups with their versions, in order of first appearance. */
function groupsOf(registry: Registry): [string, string[]][] {
  const out = new Map<string, string[]>();
  for (const r of registry.all()) {
    if (r.group === '') continue;
    const versions = out.get(r.group) ?? [];
    if (!versions.includes(r.version)) versions.push(r.version);
    out.set(r.group, versions);
  }
  if (!out.has('autoscaling')) out.set('autoscaling', ['v1']);
  return [...out].map(([g, vs]) => [g, vs.sort(compareVersions)]);
}

function legacyGroup(name: string, versions: readonly string[]): object {
  const vs = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: vs, preferredVersion: vs[0] };
}

function legacyResources(group: string, version: string, rs: readonly Resource[]): unknown {
  const resources = rs.flatMap((r) => [
    {
      name: r.resource,
      singularName: r.singular,
      namespaced: r.namespaced,
      kind: r.kind,
      verbs: verbsOf(r),
      ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
      ...(r.categories.length === 0 ? {} : { categories: r.categories }),
      ...(r.virtual ? {} : { storageVersionHash: digestOf(r.storage).slice(0, 8) }),
    },
    ...r.subresources.map((n) => {
      const s = subresourceOf(r, n);
      const foreign = s.group !== r.group || s.version !== r.version;
      return {
        name: `${r.resource}/${n}`,
        singularName: '',
        namespaced: r.namespaced,
        kind: s.kind,
        verbs: s.verbs,
        ...(foreign ? { group: s.group, version: s.version } : {}),
      };
    }),
  ]);
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: group === '' ? version : `${group}/${version}`, resources };
}

function aggregatedList(registry: Registry, core: boolean): unknown {
  const groups: [string, string[]][] = core ? [['', ['v1']]] : groupsOf(registry);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map(([group, versions]) => ({
      metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
      versions: versions.map((version) => ({
        version,
        freshness: 'Current',
        resources: registry
          .all()
          .filter((r) => r.group === group && r.version === version)
          .map(aggregatedResource),
      })),
    })),
  };
}

function aggregatedResource(r: Resource): unknown {
  return {
    resource: r.resource,
    responseKind: { group: r.group, version: r.version, kind: r.kind },
    scope: r.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: r.singular,
    verbs: verbsOf(r),
    ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
    ...(r.categories.length === 0 ? {} : { categories: r.categories }),
    ...(r.subresources.length === 0
      ? {}
      : {
          subresources: r.subresources.map((n) => {
            const s = subresourceOf(r, n);
            return { subresource: n, responseKind: { group: s.group, version: s.version, kind: s.kind }, verbs: s.verbs };
          }),
        }),
  };
}
