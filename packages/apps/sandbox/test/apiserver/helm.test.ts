// The real Helm against the server: a small chart without pods, with a CRD, a lookup and a hook.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Cluster, splitWords, startCluster } from './harness.ts';
import { crd } from './manifests.ts';

const files: Readonly<Record<string, string>> = {
  'Chart.yaml': 'apiVersion: v2\nname: tiny\nversion: 0.1.0\n',
  'values.yaml': 'color: red\n',
  'crds/widgets.yaml': crd,
  'templates/config.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-conf"}\ndata:\n  color: {{ .Values.color }}\n  known: "{{ .Capabilities.APIVersions.Has "networking.k8s.io/v1/NetworkPolicy" }}"\n  kube: "{{ .Capabilities.KubeVersion.Version }}"\n',
  'templates/widget.yaml':
    'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: "{{ .Release.Name }}"}\nspec: {size: small, labels: {color: "{{ .Values.color }}"}}\n',
  'templates/rbac.yaml':
    'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tiny}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: tiny}\nrules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]\n',
  'templates/service.yaml': 'apiVersion: v1\nkind: Service\nmetadata: {name: tiny}\nspec: {selector: {app: tiny}, ports: [{port: 80}]}\n',
  'templates/hook.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: before-hook-creation}\ndata: {ran: "yes"}\n',
};

let c: Cluster;
const helm = (line: string): ReturnType<Cluster['run']> => c.run('helm', splitWords(line));

describe('helm', () => {
  beforeAll(async () => {
    c = await startCluster();
    for (const [path, text] of Object.entries(files)) {
      const full = join(c.dir, 'tiny', path);
      mkdirSync(join(full, '..'), { recursive: true });
      writeFileSync(full, text);
    }
  });
  afterAll(async () => {
    await c.stop();
  });

  const steps: readonly (readonly [string, RegExp, number?])[] = [
    ['helm install rel ./tiny --create-namespace -n apps', /STATUS: deployed/],
    ['kubectl get cm rel-conf -n apps -o jsonpath={.data}', /^\{"color":"red","known":"true","kube":"v1\.36\.0-axoneme"\}$/],
    ['kubectl get wd rel -n apps -o jsonpath={.spec.labels.color}/{.spec.count}', /^red\/3$/],
    ['helm list -n apps', /rel\s+apps\s+1\s+.*deployed\s+tiny-0\.1\.0/],
    ['helm upgrade rel ./tiny -n apps --set color=blue', /REVISION: 2/],
    ['kubectl get cm rel-conf -n apps -o jsonpath={.data.color}', /^blue$/],
    ['kubectl get wd rel -n apps -o jsonpath={.spec.labels.color}', /^blue$/],
    ['kubectl get cm hook -n apps -o jsonpath={.data.ran}', /^yes$/],
    ['helm upgrade rel ./tiny -n apps --set color=blue --wait --timeout 20s', /REVISION: 3/],
    ['helm rollback rel 1 -n apps', /Rollback was a success/],
    ['kubectl get cm rel-conf -n apps -o jsonpath={.data.color}', /^red$/],
    ['helm upgrade rel ./tiny -n apps --server-side=false --force-conflicts=false --set color=green', /REVISION: 5/],
    ['kubectl get cm rel-conf -n apps -o jsonpath={.data.color}', /^green$/],
    ['helm history rel -n apps', /superseded[\s\S]*deployed/],
    ['helm status rel -n apps', /STATUS: deployed/],
    ['helm get manifest rel -n apps', /kind: Widget/],
    ['helm uninstall rel -n apps --wait --timeout 20s', /release "rel" uninstalled/],
    ['kubectl get cm rel-conf -n apps', /NotFound/, 1],
    ['helm install bad ./tiny -n apps --set color=', /./],
  ];
  test.each(steps)('%s', async (line, want, code = 0) => {
    const [tool, ...rest] = splitWords(line);
    const out = await c.run(tool as 'kubectl' | 'helm', rest);
    expect(out.text).toMatch(want);
    expect(out.code).toBe(code);
  });

  test('a release is a secret of its own type', async () => {
    const out = await helm('install two ./tiny -n apps --skip-crds --take-ownership');
    expect(out.text).toMatch(/STATUS: deployed/);
    const secrets = c.server.store.list(
      { group: '', version: 'v1', resource: 'secrets' },
      { ns: 'apps', labelSelector: 'owner=helm,name=two' },
    );
    expect(secrets.map((s) => s.type)).toEqual(['helm.sh/release.v1']);
  });
});
