// Health of one process: living things report, the HTTP handler shows it. Degraded is not dead: only `stopped` fails liveness.
import type { Health, Living } from '@axoneme/std';

export interface ComponentState {
  readonly name: string;
  readonly health: Health;
}

export interface Gate {
  readonly name: string;
  /** Undefined when open, otherwise the reason why the process is not ready. */
  closedBecause(): string | undefined;
}

export interface HealthRegistry {
  /** Adds a component; the returned function takes it out again. */
  register(component: Pick<Living, 'name' | 'health'>): () => void;
  /** Adds a condition for readiness (and only readiness). */
  gate(gate: Gate): () => void;
  components(): readonly ComponentState[];
  /** Text for people, and whether the probe passes. */
  liveness(): Probe;
  readiness(): Probe;
}

export interface Probe {
  readonly pass: boolean;
  readonly text: string;
}

export function createHealthRegistry(): HealthRegistry {
  const parts = new Set<Pick<Living, 'name' | 'health'>>();
  const gates = new Set<Gate>();
  const components = (): ComponentState[] => [...parts].map((p) => ({ name: p.name, health: p.health() }));
  const line = (c: ComponentState): string =>
    c.health.state === 'ok'
      ? `[+] ${c.name} ok`
      : `[${c.health.state === 'degraded' ? '~' : '-'}] ${c.name} ${c.health.state}: ${c.health.reason}`;
  const liveness = (): Probe => {
    const all = components();
    return { pass: all.every((c) => c.health.state !== 'stopped'), text: `${all.map(line).join('\n')}\n` };
  };
  return {
    register(component) {
      parts.add(component);
      return () => parts.delete(component);
    },
    gate(gate) {
      gates.add(gate);
      return () => gates.delete(gate);
    },
    components,
    liveness,
    readiness() {
      const live = liveness();
      const closed = [...gates].map((g) => ({ name: g.name, reason: g.closedBecause() }));
      const text = closed.map((g) => (g.reason === undefined ? `[+] gate ${g.name} open` : `[-] gate ${g.name}: ${g.reason}`)).join('\n');
      return { pass: live.pass && closed.every((g) => g.reason === undefined), text: text === '' ? live.text : `${live.text}${text}\n` };
    },
  };
}
