// The agent is a program: see main.ts; tests and the sandbox may build it from parts.
export { type AgentConfig, parseConfig } from './config/config.ts';
export { type Agent, createAgent } from './wiring.ts';
