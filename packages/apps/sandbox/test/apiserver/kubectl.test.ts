// The real kubectl against the server: each line is a command and what it must print. Order matters inside a group.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Cluster, startCluster } from './harness.ts';
import * as m from './manifests.ts';

interface Step {
  readonly run: string;
  readonly stdin?: string;
  readonly want: RegExp;
  readonly code?: number;
}

const step = (run: string, want: RegExp, extra: { stdin?: string; code?: number } = {}): Step => ({ run, want, ...extra });

let c: Cluster;

const groups: Readonly<Record<string, readonly Step[]>> = {
  'a session': [
    step('version', /Server Version: v1\.36\.0-axoneme/),
    step('api-resources', /networkpolicies\s+netpol\s+networking\.k8s\.io\/v1\s+true\s+NetworkPolicy/),
    step('api-versions', /^apps\/v1$/m),
    step('get ns', /default\s+Active\s+\d+s/),
    step('auth can-i create pods', /yes/),
    step('auth can-i --list', /\*\.\*/),
    step('auth whoami', /kubernetes-admin/),
    step('cluster-info', /control plane.* is running/),
  ],
  'client-side apply': [
    step('apply -f -', /deployment\.apps\/web created/, { stdin: m.web }),
    step('apply -f -', /deployment\.apps\/web unchanged/, { stdin: m.web }),
    step('diff -f -', /^$/, { stdin: m.web }),
    step('diff -f -', /\+\s+image: nginx:1\.28/, { stdin: m.web.replace('1.27', '1.28'), code: 1 }),
    step('apply -f -', /configured/, {
      stdin: m.web.replace('replicas: 2', 'replicas: 3').replace('        - {name: side, image: busybox}\n', ''),
    }),
    step('get deploy web -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[*].name}/{.metadata.generation}', /^3\/web\/2$/),
    step(
      'get deploy -o wide',
      /NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\s+CONTAINERS\s+IMAGES\s+SELECTOR\nweb\s+0\/3\s+0\s+0\s+\d+s\s+web\s+nginx:1\.27\s+app=web/,
    ),
    step('get deploy web -o name', /^deployment\.apps\/web$/m),
    step('get deploy web -o yaml', /progressDeadlineSeconds: 600/),
    step('set image deploy/web web=nginx:1.29', /image updated/),
    step('set env deploy/web A- B=2', /env updated/),
    step('get deploy web -o jsonpath={.spec.template.spec.containers[0].env}', /^\[\{"name":"B","value":"2"\}\]$/),
    step('scale deploy web --replicas=0', /scaled/),
    step('get deploy web -o jsonpath={.spec.replicas}', /^0$/),
    step('rollout restart deploy/web', /restarted/),
    step('rollout pause deploy/web', /paused/),
    step('label deploy web tier=front', /labeled/),
    step('label deploy web tier=back', /'tier' already has a value/, { code: 1 }),
    step('annotate deploy web note=hello', /annotated/),
    step('get deploy -l tier=front,app -o name', /deployment\.apps\/web/),
    step('get deploy -l tier!=front -o name', /^$/),
    step('get deploy --show-labels', /app=web,tier=front/),
    step(`patch deploy web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:1.30"}]}}}}'`, /patched/),
    step(`patch deploy web --type=json -p '[{"op":"add","path":"/spec/minReadySeconds","value":5}]'`, /patched/),
    step(`patch deploy web --type=merge -p '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'`, /field is immutable/, { code: 1 }),
    step('describe deploy web', /Replicas:\s+0 desired.*\n[\s\S]*nginx:1\.30/),
    step('autoscale deploy web --min=1 --max=3', /autoscaled/),
    step('expose deploy web --port=80 --name=exposed', /service\/exposed exposed/),
  ],
  'services, policies and checks': [
    step('apply -f -', /service\/web created/, { stdin: m.service }),
    step('get svc web -o jsonpath={.spec.clusterIPs}{.spec.ports[*].nodePort}', /^\["10\.96\.\d+\.\d+","fd00:10:96::\w+"\]3\d{4} 3\d{4}$/),
    step('get svc', /web\s+NodePort\s+10\.96\.\d+\.\d+\s+<none>\s+80:3\d+\/TCP,53:3\d+\/UDP/),
    step('apply -f -', /networkpolicy\.networking\.k8s\.io\/deny created/, { stdin: m.policy }),
    step('get netpol deny -o jsonpath={.spec.policyTypes}', /^\["Ingress"\]$/),
    step('describe netpol deny', /PodSelector:\s+app=web/),
    step('apply -f -', /unknown field "spec\.bogus"/, { stdin: m.policy.replace('spec:\n', 'spec:\n  bogus: 1\n'), code: 1 }),
    step('apply --validate=warn -f -', /Warning: unknown field "spec\.bogus"/, {
      stdin: m.policy.replace('spec:\n', 'spec:\n  bogus: 1\n'),
    }),
    step('apply -f -', /spec\.ports\[0\]\.port: Invalid value: 99999: must be between 1 and 65535/, {
      stdin: m.service.replace('port: 80', 'port: 99999'),
      code: 1,
    }),
    step('apply -f -', /must be a valid CIDR/, { stdin: m.policy.replace('podSelector: {}', 'ipBlock: {cidr: 10.0.0.1}'), code: 1 }),
    step('apply -f -', /spec\.template\.spec\.containers\[0\]\.image: Required value/, {
      stdin: m.web.replace('name: web, labels', 'name: bad, labels').replace(', image: "nginx:1.27"', ''),
      code: 1,
    }),
    step('apply -f -', /a lowercase RFC 1123 subdomain/, { stdin: m.pod.replace('name: solo,', 'name: SOLO,'), code: 1 }),
    step('get pods --field-selector spec.bogus=1', /field label not supported: spec\.bogus/, { code: 1 }),
    step('get nothing', /the server doesn't have a resource type "nothing"/, { code: 1 }),
    step('get pod nothing', /Error from server \(NotFound\): pods "nothing" not found/, { code: 1 }),
  ],
  'objects created through protobuf': [
    step('create ns team', /namespace\/team created/),
    step('create configmap conf --from-literal=a=1 --from-literal=b=2 -n team', /configmap\/conf created/),
    step('get cm conf -n team -o jsonpath={.data}', /^\{"a":"1","b":"2"\}$/),
    step('create secret generic s1 --from-literal=k=v -n team', /secret\/s1 created/),
    step('get secret s1 -n team -o jsonpath={.data.k}/{.type}', /^dg==\/Opaque$/),
    step('create deployment d1 --image=nginx:1 --replicas=0 --port=80 -n team', /deployment\.apps\/d1 created/),
    step(
      'get deploy d1 -n team -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].ports[0].containerPort}/{.spec.strategy.type}',
      /^0\/80\/RollingUpdate$/,
    ),
    step('create job j1 --image=busybox -n team -- sh -c true', /job\.batch\/j1 created/),
    step('get job j1 -n team -o jsonpath={.spec.template.spec.containers[0].command}/{.spec.backoffLimit}', /^\["sh","-c","true"\]\/6$/),
    step('create cronjob cj --image=busybox --schedule=* -n team', /expected exactly 5 fields, found 1/, { code: 1 }),
    step(`create cronjob cj --image=busybox '--schedule=*/5 * * * *' -n team`, /cronjob\.batch\/cj created/),
    step('create service clusterip s2 --tcp=80:8080 -n team', /service\/s2 created/),
    step('get svc s2 -n team -o jsonpath={.spec.ports[0].targetPort}', /^8080$/),
    step('create sa robot -n team', /serviceaccount\/robot created/),
    step('create token robot -n team', /^[\w-]+\.[\w-]+\.[\w-]+$/m),
    step('create token robot -n team --duration=5m', /may not specify a duration less than 10 minutes/, { code: 1 }),
    step('create role r1 --verb=get,list --resource=pods,deployments.apps -n team', /role\.rbac\.authorization\.k8s\.io\/r1 created/),
    step('get role r1 -n team -o jsonpath={.rules[*].resources}', /^\["pods"\] \["deployments"\]$/),
    step('create rolebinding rb --role=r1 --serviceaccount=team:robot -n team', /created/),
    step('create clusterrole cr1 --verb=get --resource=nodes', /created/),
    step('create clusterrolebinding crb --clusterrole=cr1 --user=ann', /created/),
    step('create ingress ing --rule=a.example/b*=web:80 -n team', /ingress\.networking\.k8s\.io\/ing created/),
    step('get ing ing -n team -o jsonpath={.spec.rules[0].http.paths[0].pathType}', /^Prefix$/),
    step('create quota q --hard=pods=5,cpu=1000m -n team', /resourcequota\/q created/),
    step('get quota q -n team -o jsonpath={.spec.hard}', /^\{"cpu":"1","pods":"5"\}$/),
    step('create pdb pd --selector=app=web --min-available=1 -n team', /created/),
    step('create priorityclass high --value=1000', /created/),
    step('get cm conf -n team -o yaml --show-managed-fields', /manager: kubectl-create\n\s+operation: Update/),
  ],
  pods: [
    step('apply -f -', /pod\/solo created/, { stdin: m.pod }),
    step('get pods', /solo\s+0\/1\s+Pending\s+0\s+\d+s/),
    step(
      'get pod solo -o jsonpath={.spec.serviceAccountName}/{.spec.priority}/{.spec.tolerations[*].key}',
      /^default\/0\/node\.kubernetes\.io\/not-ready node\.kubernetes\.io\/unreachable$/,
    ),
    step('get pods -A --field-selector status.phase=Pending,metadata.name=solo -o name', /^pod\/solo$/m),
    step(`patch pod solo --subresource=status --type=merge -p '{"status":{"phase":"Running"},"spec":{"nodeName":"x"}}'`, /patched/),
    step('get pod solo -o jsonpath={.status.phase}-{.spec.nodeName}-', /^Running--$/),
    step(
      `patch pod solo --subresource=status --type=merge -p '{"status":{"qosClass":"Guaranteed"}}'`,
      /status\.qosClass: Invalid value: "Guaranteed": field is immutable/,
      { code: 1 },
    ),
    step(
      `patch pod solo --subresource=status --type=merge -p '{"status":{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]}}'`,
      /no more than one IP for each IP family/,
      { code: 1 },
    ),
    step(`patch pod solo -p '{"spec":{"hostNetwork":true}}'`, /pod updates may not change fields other than/, { code: 1 }),
    step('run quick --image=busybox --restart=Never', /pod\/quick created/),
    step('wait pod/quick --for=jsonpath={.status.phase}=Pending --timeout=5s', /condition met/),
    step('get pods --sort-by=.metadata.name -o custom-columns=N:.metadata.name', /N\nquick\nsolo/),
    step('get pods --chunk-size=1 -o name', /pod\/quick\npod\/solo/),
    step('events', /No events found/),
    step('delete pod quick', /pod "quick" deleted/),
    step('delete pod solo --dry-run=server', /solo" deleted.*\(server dry run\)/),
    step('get pod solo -o name', /pod\/solo/),
    step('delete pods --all', /"solo" deleted/),
  ],
  explaining: [
    step('explain deployment.spec.strategy', /rollingUpdate\s+<RollingUpdateDeployment>/),
    step('explain pod.spec.containers.ports', /containerPort\s+<integer>/),
    step('explain svc', /DESCRIPTION:\n\s+A stable address/),
  ],
  'server-side apply': [
    step('apply --server-side -f -', /configmap\/ssa serverside-applied/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: "1", b: "2"}\n',
    }),
    step('get cm ssa -o yaml --show-managed-fields', /f:data:\n\s+f:a: \{\}\n\s+f:b: \{\}\n\s+manager: kubectl\n\s+operation: Apply/),
    step('apply --server-side -f -', /serverside-applied/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: "1"}\n',
    }),
    step('get cm ssa -o jsonpath={.data}', /^\{"a":"1"\}$/),
    step('apply --server-side --field-manager=other -f -', /conflict with "kubectl": \.data\.a/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: "2"}\n',
      code: 1,
    }),
    step('apply --server-side --field-manager=other --force-conflicts -f -', /serverside-applied/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: "2"}\n',
    }),
    step('diff --server-side --field-manager=other -f -', /\+\s+z: "9"/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: "2", z: "9"}\n',
      code: 1,
    }),
    step('apply -f -', /configmap\/old created/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: "1", b: "2"}\n',
    }),
    step('apply --server-side -f -', /serverside-applied/, {
      stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: "1"}\n',
    }),
    step('get cm old -o jsonpath={.data}', /^\{"a":"1"\}$/),
    step('apply --server-side -f -', /deployment\.apps\/applied serverside-applied/, {
      stdin: m.web.replace('name: web, labels', 'name: applied, labels'),
    }),
    step('apply --server-side -f -', /serverside-applied/, {
      stdin: m.web.replace('name: web, labels', 'name: applied, labels').replace('        - {name: side, image: busybox}\n', ''),
    }),
    step('get deploy applied -o jsonpath={.spec.template.spec.containers[*].name}/{.metadata.generation}', /^web\/2$/),
  ],
  'custom resources': [
    step('apply -f -', /customresourcedefinition\.apiextensions\.k8s\.io\/widgets\.example\.com created/, { stdin: m.crd }),
    step('wait --for=condition=Established crd/widgets.example.com --timeout=5s', /condition met/),
    step('apply -f -', /widget\.example\.com\/one created/, { stdin: m.widget }),
    step('apply -f -', /widget\.example\.com\/one (unchanged|configured)/, { stdin: m.widget }),
    step('get wd', /NAME\s+SIZE\s+READY\s+AGE\none\s+small\s+\d+s/),
    step('get wd -o wide', /COUNT\s+AGE\none\s+small\s+3/),
    step('get gadgets', /^one|widget\.example\.com\/one/m),
    step(
      'get wd one -o jsonpath={.spec}',
      /"count":3.*"free":\{"anything":\[1,\{"goes":true\}\]\}.*"ports":\[\{"port":80,"protocol":"TCP"\}\]/,
    ),
    step('apply -f -', /spec\.size: Unsupported value: "huge": supported values: "small", "large"/, {
      stdin: m.widget.replace('size: small', 'size: huge').replace('one', 'two'),
      code: 1,
    }),
    step('apply -f -', /spec\.size: Required value/, { stdin: m.widget.replace('size: small, ', '').replace('one', 'two'), code: 1 }),
    step('apply -f -', /spec\.count: Invalid value: "string": spec\.count in body must be of type integer: "string"/, {
      stdin: m.widget.replace('size: small', 'size: small, count: many').replace('one', 'two'),
      code: 1,
    }),
    step('apply -f -', /spec: Invalid value: count must not exceed max/, {
      stdin: m.widget.replace('size: small', 'size: small, count: 5, max: 4').replace('one', 'two'),
      code: 1,
    }),
    step('apply -f -', /spec\.cidrs\[1\]: Invalid value: "x": must be a CIDR/, {
      stdin: m.widget.replace('size: small', 'size: small, cidrs: [10.0.0.0/8, x]').replace('one', 'two'),
      code: 1,
    }),
    step('apply -f -', /size is immutable/, { stdin: m.widget.replace('size: small', 'size: large'), code: 1 }),
    step('apply -f -', /strict decoding error: unknown field "spec\.bogus"/, {
      stdin: m.widget.replace('size: small', 'size: small, bogus: 1'),
      code: 1,
    }),
    step('apply --validate=false -f -', /configured|unchanged/, { stdin: m.widget.replace('size: small', 'size: small, bogus: 1') }),
    step('get wd one -o jsonpath={.spec.bogus}-', /^-$/),
    step(`patch wd one -p '{"spec":{"count":4}}'`, /strategic-merge-patch\+json is not supported by example\.com\/v1, Kind=Widget/, {
      code: 1,
    }),
    step(`patch wd one --type=merge -p '{"spec":{"count":4}}'`, /patched/),
    step(
      `patch wd one --subresource=status --type=merge -p '{"status":{"count":2,"conditions":[{"type":"Other","status":"False"},{"type":"Ready","status":"True"}]}}'`,
      /patched/,
    ),
    step('get wd', /one\s+small\s+True/),
    step('scale wd one --replicas=7', /scaled/),
    step('get wd one -o jsonpath={.spec.count}/{.metadata.generation}/{.status.count}', /^7\/\d\/2$/),
    step('explain widget.spec.ports', /protocol\s+<string>/),
    step('apply --server-side -f -', /widget\.example\.com\/three serverside-applied/, {
      stdin: m.widget.replace('one', 'three').replace('[{port: 80}]', '[{port: 80, note: a}, {port: 81}]'),
    }),
    step('apply --server-side --field-manager=second -f -', /serverside-applied/, {
      stdin: 'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: three}\nspec: {ports: [{port: 90}]}\n',
    }),
    step('get wd three -o jsonpath={.spec.ports[*].port}', /^80 81 90$/),
    step('describe wd three', /Size:\s+small/),
    step('delete crd widgets.example.com', /deleted/),
    step('get wd', /the server doesn't have a resource type "wd"|could not find the requested resource/, { code: 1 }),
    step('apply -f -', /widgets\.example\.com created/, { stdin: m.crd }),
    step('get wd', /No resources found/),
    step('delete crd widgets.example.com', /deleted/),
    step('apply -f -', /must have exactly one version marked as storage version/, {
      stdin: m.crd.replace('storage: true', 'storage: false'),
      code: 1,
    }),
  ],
  'replacing and deleting': [
    step('get cm ssa -o name', /configmap\/ssa/),
    step('replace -f -', /replaced/, { stdin: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {only: "1"}\n' }),
    step('get cm ssa -o jsonpath={.data}', /^\{"only":"1"\}$/),
    step('delete cm ssa old', /configmap "ssa" deleted.*\n.*configmap "old" deleted/),
    step('delete deploy applied --cascade=orphan --wait=false', /deleted/),
    step('get deploy applied -o jsonpath={.metadata.finalizers}', /^\["orphan"\]$/),
    step(`patch deploy applied --type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]'`, /patched/),
    step('get deploy applied', /NotFound/, { code: 1 }),
    step('delete deploy web --cascade=foreground --wait=false', /deleted/),
    step('get deploy web -o jsonpath={.metadata.finalizers}-{.metadata.deletionTimestamp}', /^\["foregroundDeletion"\]-20/),
    step('delete ns team', /namespace "team" deleted/),
    step('get deploy,svc,cm,role -n team', /No resources found/),
    step('delete ns default', /this namespace may not be deleted/, { code: 1 }),
  ],
};

describe('kubectl', () => {
  beforeAll(async () => {
    c = await startCluster();
  });
  afterAll(async () => {
    await c.stop();
  });

  describe.each(Object.keys(groups))('%s', (name) => {
    test.each(groups[name] as Step[])('$run', async ({ run, stdin, want, code }) => {
      const out = await c.kubectl(run, stdin);
      expect(out.text).toMatch(want);
      expect(out.code).toBe(code ?? 0);
    });
  });

  test('edit sends what the editor wrote', async () => {
    await c.kubectl('create cm edited --from-literal=a=before');
    const editor = join(c.dir, 'editor.sh');
    writeFileSync(editor, '#!/bin/sh\nsed -i s/before/after/ "$1"\n', { mode: 0o755 });
    const out = await c.run('kubectl', ['edit', 'cm', 'edited'], '', { KUBE_EDITOR: editor });
    expect(out.text).toMatch(/configmap\/edited edited/);
    expect((await c.kubectl('get cm edited -o jsonpath={.data.a}')).text).toBe('after');
  });

  test('watch prints a row for each change', async () => {
    const watching = c.kubectl('get cm -l watched --watch --request-timeout=3s');
    await c.server.store.create(
      { group: '', version: 'v1', resource: 'configmaps' },
      { metadata: { name: 'w1', namespace: 'default', labels: { watched: '' } } },
    );
    const waiting = c.kubectl('wait cm/w1 --for=delete --timeout=10s');
    const out = await watching;
    expect(out.text).toMatch(/w1\s+0\s+\d+s/);
    await c.server.store.delete({ group: '', version: 'v1', resource: 'configmaps' }, 'default', 'w1');
    expect((await waiting).text).toMatch(/condition met/);
  });
});
