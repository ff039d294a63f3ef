// The agent is a program: see main.ts; tests and the sandbox may build it from parts.

export { type BalancerNode, type BalancerNodeConfig, contentOf, createBalancerNode, type Written } from './balancer/node.ts';
export { removeBalancer } from './balancer/remove.ts';
export { type AgentConfig, parseConfig } from './config/config.ts';
export { assertAlone } from './endpoints/cni-server.ts';
export type { ProbeSpec } from './probe/ask.ts';
export type { ProbeResult, Prober } from './probe/prober.ts';
export type { ArtifactContent } from './store/artifact-file.ts';
export { type Agent, createAgent } from './wiring.ts';
