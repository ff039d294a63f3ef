// The arrows of the house (docs/DESIGN index): each rule carries its reason.
const floor = (name) => `^packages/${name}/`;
const only = (lib, owner, comment) => ({
  name: `only-${owner.split('/').pop()}-imports-${lib.replace(/[^a-z0-9]+/g, '-')}`,
  comment,
  severity: 'error',
  from: { path: '^(packages|e2e)/', pathNot: `^packages/${owner}/` },
  to: { path: `node_modules/(\\.pnpm/)?.*${lib.replace('/', '[+/]')}` },
});

export default {
  forbidden: [
    {
      name: 'ground-is-ground',
      comment: 'ground depends on nothing above it',
      severity: 'error',
      from: { path: floor('ground') },
      to: { path: '^packages/(engines|contracts|edges|apps|testing)/', pathNot: '^packages/testing/testkit/' },
    },
    {
      name: 'engines-are-pure',
      comment: 'engines import ground only: they must run the same in CI and in production',
      severity: 'error',
      from: { path: floor('engines'), pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(contracts|edges|apps)/' },
    },
    {
      name: 'engines-never-meet',
      comment: 'an engine that needs another is one engine',
      severity: 'error',
      from: { path: '^packages/engines/([^/]+)/', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/engines/', pathNot: '^packages/engines/$1/' },
    },
    {
      name: 'contracts-look-down',
      comment: 'contracts import ground only',
      severity: 'error',
      from: { path: floor('contracts') },
      to: { path: '^packages/(engines|edges|apps|testing)/', pathNot: '^packages/testing/testkit/' },
    },
    {
      name: 'edges-look-down',
      comment: 'edges import contracts and ground',
      severity: 'error',
      from: { path: floor('edges'), pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(engines|apps)/' },
    },
    {
      name: 'agent-has-no-engine',
      comment: 'this is how we prove that the agent is thin',
      severity: 'error',
      from: { path: '^packages/apps/agent/' },
      to: { path: '^packages/engines/' },
    },
    {
      name: 'agent-and-operator-never-meet',
      comment: 'they share a protocol, not code',
      severity: 'error',
      from: { path: '^packages/apps/agent/' },
      to: { path: '^packages/apps/operator/' },
    },
    {
      name: 'operator-and-agent-never-meet',
      comment: 'they share a protocol, not code',
      severity: 'error',
      from: { path: '^packages/apps/operator/' },
      to: { path: '^packages/apps/agent/' },
    },
    {
      name: 'agent-has-no-kube-client',
      comment: 'the agent holds no kubeconfig',
      severity: 'error',
      from: { path: '^packages/apps/agent/' },
      to: { path: '^packages/edges/kopf-ts/' },
    },
    {
      name: 'no-cycles',
      comment: 'a cycle is one file in disguise',
      severity: 'error',
      from: { pathNot: '/src/gen/' },
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'pnpm refuses undeclared imports; so do we',
      severity: 'error',
      from: { path: '^(packages|e2e)/' },
      to: { couldNotResolve: true },
    },
    only('@kubernetes/client-node', 'edges/kopf-ts', 'one owner of the Kubernetes client'),
    only('ioredis', 'edges/kvstore', 'one owner of Redis'),
    only('@grpc/grpc-js', 'edges/stream', 'one owner of gRPC'),
    only('winston', 'edges/telemetry', 'one owner of logging'),
    only('prom-client', 'edges/telemetry', 'one owner of metrics'),
    only('@peculiar/x509', 'edges/pki', 'one owner of certificates'),
    {
      name: 'koffi-in-kernel-edges',
      comment: 'foreign functions live in bpf and netlink only',
      severity: 'error',
      from: { path: '^(packages|e2e)/', pathNot: '^packages/edges/(bpf|netlink)/' },
      to: { path: 'node_modules/(\\.pnpm/)?koffi' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/build/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.mjs', '.js'],
    },
  },
};
