// One pod on one node, from binding to removal: network, volumes, init containers, containers, probes, status, termination.
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, canonicalJson, createBackoff, describeError, err, type Timer } from '@axoneme/std';
import type { KubeObject } from '../apiserver/types.ts';
import { PODS } from '../client/kinds.ts';
import { ignoreNotFound, isNotFound } from '../client/kube-client.ts';
import { isTerminating, nameOf, nsOf, uidOf } from '../client/object.ts';
import { createCgroup, destroyCgroup } from '../nodes/cgroup.ts';
import { type RunResult, run } from '../nodes/run.ts';
import { type ContainerRuntime, createContainer, type LaunchPlan, type RestartPolicy } from './container.ts';
import { argvOf, containerSteps, joinSteps } from './container-spec.ts';
import type { KubeletDeps } from './deps.ts';
import { environmentOf } from './env.ts';
import { effectiveSpec, etcHosts, factsOf, hostnameOf, resolvConf, updateVolumes, volumeReferences } from './pod-files.ts';
import { createPodSandbox, destroyPodSandbox, type PodSandbox } from './pod-sandbox.ts';
import { type ContainerView, podStatus } from './pod-status.ts';
import { type Container, podSpecOf } from './pod-types.ts';
import { startProbes } from './probes.ts';

const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 3000;
const REFRESH_RETRY_MS = 10_000;
const DEFAULT_GRACE_S = 30;
const BASE_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', TERM: 'xterm' };

interface Slot {
  readonly spec: Container;
  readonly init: boolean;
  runtime: ContainerRuntime | undefined;
  ready: boolean;
  started: boolean;
  probes: AbortController | undefined;
}

export interface RunningContainer {
  readonly runtime: ContainerRuntime;
  readonly spec: Container;
  readonly pid: number;
  readonly child: ChildProcess;
  readonly hostNetwork: boolean;
}

export class PodWorker {
  readonly uid: string;
  readonly done: Promise<void>;
  readonly #d: KubeletDeps;
  readonly #stop = new AbortController();
  readonly #slots: Slot[];
  readonly #startedAtMs: number;
  readonly #finished = Promise.withResolvers<void>();
  #pod: KubeObject;
  #sandbox: PodSandbox | undefined;
  #lastIps: readonly string[] = [];
  #written = '';
  #statusWanted = false;
  #statusRunning: Promise<void> | undefined;
  #renewal: Timer | undefined;
  #terminating = false;
  #flow: Promise<void> = Promise.resolve();

  constructor(d: KubeletDeps, pod: KubeObject) {
    this.#d = d;
    this.#pod = pod;
    this.uid = uidOf(pod);
    this.done = this.#finished.promise;
    this.#startedAtMs = d.clock.nowMs();
    const spec = effectiveSpec(pod);
    const slot =
      (init: boolean) =>
      (c: Container): Slot => ({ spec: c, init, runtime: undefined, ready: false, started: false, probes: undefined });
    this.#slots = [...(spec.initContainers ?? []).map(slot(true)), ...spec.containers.map(slot(false))];
  }

  start(): void {
    this.#flow = this.#run().catch((e: unknown) =>
      this.#d.log.error('pod worker failed', { pod: nameOf(this.#pod), error: describeError(e) }),
    );
    if (isTerminating(this.#pod)) this.#terminate();
  }

  /** A newer version of the object, or undefined when it was removed by force. */
  update(pod: KubeObject | undefined): void {
    if (pod !== undefined) this.#pod = pod;
    if (pod === undefined || isTerminating(pod)) this.#terminate();
    else this.#wantStatus();
  }

  /** A ConfigMap or Secret of the pod's namespace changed. */
  configChanged(kind: 'configMaps' | 'secrets', name: string): void {
    if (this.#sandboxReady() && volumeReferences(this.#pod)[kind].has(name)) void this.#refreshVolumes();
  }

  get ips(): readonly string[] {
    if (this.#isHostNetwork()) return [this.#d.node.address.v4, this.#d.node.address.v6];
    return this.#sandbox?.ips ?? this.#lastIps;
  }

  get namespace(): string {
    return nsOf(this.#pod);
  }

  get netns(): string | undefined {
    return this.#sandbox?.attachment.netns;
  }

  container(name: string): { readonly runtime: ContainerRuntime | undefined; readonly spec: Container } | undefined {
    return this.#slots.find((s) => s.spec.name === name);
  }

  running(name: string): RunningContainer | undefined {
    const slot = this.#slots.find((s) => s.spec.name === name);
    const child = slot?.runtime?.child();
    if (slot?.runtime === undefined || child?.pid === undefined) return undefined;
    return { runtime: slot.runtime, spec: slot.spec, pid: child.pid, child, hostNetwork: this.#isHostNetwork() };
  }

  /** The environment a container's program gets now. */
  async environment(name: string): Promise<Readonly<Record<string, string>>> {
    const slot = this.#slots.find((s) => s.spec.name === name);
    if (slot === undefined) return BASE_ENV;
    const base = { ...this.#apiEnv(), ...this.#d.images.find(slot.spec.image)?.env };
    const env = environmentOf(slot.spec, factsOf(this.#d, this.#pod, this.ips), base);
    return env.ok ? env.value : base;
  }

  /** Steps that bring a process into the pod's network only. */
  networkSteps(): string[] {
    const netns = this.netns;
    return netns === undefined ? this.#d.node.enter() : [...this.#d.node.enter(), 'joinnet', netns];
  }

  /** Starts nothing any more: the sandbox goes down and ends every process at once. */
  abandon(): void {
    this.#stop.abort();
    this.#renewal?.cancel();
  }

  #isHostNetwork = (): boolean => podSpecOf(this.#pod).hostNetwork === true;
  #sandboxReady = (): boolean => this.#isHostNetwork() || this.#sandbox !== undefined;
  #podDir = (): string => join(this.#d.node.paths.pods, this.uid);
  #podCgroup = (): string => join(this.#d.node.cgroup, 'kubepods', `pod${this.uid}`);
  #event = (type: 'Normal' | 'Warning', reason: string, message: string): void =>
    this.#d.events.emit(this.#pod, 'Pod', type, reason, message);

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    mkdirSync(this.#podDir(), { recursive: true });
    createCgroup(this.#podCgroup());
    this.#wantStatus();
    if (!this.#isHostNetwork()) await this.#until(signal, 'FailedCreatePodSandBox', () => this.#attach());
    await this.#until(signal, 'FailedMount', () => this.#mount());
    for (const s of this.#slots.filter((x) => x.init)) {
      if (signal.aborted) return;
      if (!(await this.#runInit(s, signal))) return;
    }
    if (signal.aborted) return;
    await Promise.all(this.#slots.filter((s) => !s.init).map((s) => this.#launch(s, this.#policy(), signal)));
    if (!signal.aborted) await this.#release();
  }

  /** All containers are over: the pod keeps its object and logs, and gives its network back. */
  async #release(): Promise<void> {
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
    this.#lastIps = sandbox.ips;
    this.#sandbox = undefined;
    await destroyPodSandbox(this.#d, sandbox);
  }

  /** Tries again with backoff until it works; each failure is an Event. */
  async #until(signal: AbortSignal, reason: string, attempt: () => Promise<void>): Promise<void> {
    const backoff = createBackoff({ baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS });
    while (!signal.aborted) {
      try {
        return await this.#d.gate.run(attempt);
      } catch (e) {
        this.#event('Warning', reason, reason === 'FailedMount' ? describeError(e) : `Failed to create pod sandbox: ${describeError(e)}`);
        await this.#d.clock.sleep(backoff.nextMs(), signal);
      }
    }
  }

  async #attach(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#sandbox = await createPodSandbox(this.#d, this.#pod);
    this.#wantStatus();
  }

  async #mount(): Promise<void> {
    const r = await updateVolumes(this.#d, this.#pod, this.ips);
    if (!r.ok) throw r.error;
    this.#planRenewal(r.value.renewAtMs);
  }

  async #refreshVolumes(): Promise<void> {
    // the API server may be away, or the token may be refused: what is mounted stays
    const r = await updateVolumes(this.#d, this.#pod, this.ips).catch((e: unknown) =>
      err(e instanceof AppError ? e : new AppError({ code: 'sandbox/volume', message: describeError(e), cause: e })),
    );
    if (r.ok) return this.#planRenewal(r.value.renewAtMs);
    this.#event('Warning', 'FailedMount', describeError(r.error));
    this.#planRenewal(this.#d.clock.nowMs() + REFRESH_RETRY_MS);
  }

  #planRenewal(atMs: number): void {
    this.#renewal?.cancel();
    if (this.#stop.signal.aborted || !Number.isFinite(atMs)) return;
    this.#renewal = this.#d.clock.after(
      Math.max(1000, Math.min(atMs - this.#d.clock.nowMs(), 2 ** 31 - 1)),
      () => void this.#refreshVolumes(),
    );
  }

  #policy = (): RestartPolicy => podSpecOf(this.#pod).restartPolicy ?? 'Always';

  async #runInit(s: Slot, signal: AbortSignal): Promise<boolean> {
    if (s.spec.restartPolicy === 'Always') {
      const started = Promise.withResolvers<void>();
      void this.#launch(s, 'Always', signal, () => started.resolve());
      signal.addEventListener('abort', () => started.resolve(), { once: true });
      await started.promise;
      return !signal.aborted;
    }
    const t = await this.#launch(s, this.#policy() === 'Never' ? 'Never' : 'OnFailure', signal);
    return t?.exitCode === 0;
  }

  async #launch(s: Slot, restartPolicy: RestartPolicy, signal: AbortSignal, onStarted?: () => void): ReturnType<ContainerRuntime['run']> {
    const dir = join(this.#podDir(), 'containers', s.spec.name);
    mkdirSync(dir, { recursive: true });
    let seenPid = 0;
    s.runtime = createContainer(
      {
        name: s.spec.name,
        sbx: this.#d.sbx,
        cgroup: join(this.#podCgroup(), s.spec.name),
        dir,
        restartPolicy,
        plan: () => this.#plan(s.spec),
        onChange: () => {
          const state = s.runtime?.state();
          if (state?.kind === 'running' && state.pid !== seenPid) {
            seenPid = state.pid;
            this.#onStart(s, onStarted);
          } else if (state?.kind !== 'running') this.#onStop(s);
          this.#wantStatus();
        },
      },
      this.#d.clock,
    );
    return s.runtime.run(signal);
  }

  #onStart(s: Slot, onStarted: (() => void) | undefined): void {
    s.probes?.abort();
    s.probes = new AbortController();
    this.#event('Normal', 'Started', `Started container ${s.spec.name}`);
    const post = s.spec.lifecycle?.postStart?.exec?.command;
    if (post !== undefined) void this.execIn(s.spec.name, post, 30_000);
    const change = (ready: boolean): void => {
      if (s.ready === ready) return;
      s.ready = ready;
      this.#wantStatus();
    };
    startProbes(
      s.spec,
      {
        exec: (argv, ms) => this.#probeExec(s.spec.name, argv, ms),
        fromNode: (argv, ms) => this.#probeFromNode(argv, ms),
        podIp: () => this.ips[0] ?? '',
      },
      {
        onReady: change,
        onStarted: () => {
          s.started = true;
          onStarted?.();
          this.#wantStatus();
        },
        onFailure: (kind, message) => this.#event('Warning', 'Unhealthy', `${kind} probe failed: ${message}`),
        onUnhealthy: (kind) => {
          this.#event('Normal', 'Killing', `Container ${s.spec.name} failed ${kind.toLowerCase()} probe, will be restarted`);
          void s.runtime?.restart(this.#graceMs());
        },
      },
      this.#d.clock,
      s.probes.signal,
    );
  }

  #onStop(s: Slot): void {
    s.probes?.abort();
    s.ready = false;
    s.started = false;
    const state = s.runtime?.state();
    if (state?.kind === 'waiting' && state.reason !== 'ContainerCreating')
      this.#event('Warning', waitingEvent(state.reason), state.message ?? state.reason);
  }

  async #probeExec(name: string, argv: readonly string[], timeoutMs: number): Promise<{ code: number; output: string }> {
    const r = await this.execIn(name, argv, timeoutMs);
    return { code: r.code, output: r.stderr || r.stdout };
  }

  async #probeFromNode(argv: readonly string[], timeoutMs: number): Promise<{ code: number; output: string }> {
    const r = await run(this.#d.sbx, [...this.#d.node.enter(), ...argv], { timeoutMs });
    return { code: r.code, output: r.stdout || r.stderr };
  }

  /** Runs a program in a container and collects its output. */
  async execIn(name: string, argv: readonly string[], timeoutMs: number): Promise<RunResult> {
    const c = this.running(name);
    if (c === undefined) return { code: -1, stdout: '', stderr: 'container not running' };
    return run(this.#d.sbx, joinSteps(c.runtime.cgroup, c.pid, c.hostNetwork, argv), { timeoutMs, env: BASE_ENV });
  }

  #apiEnv = (): Record<string, string> => ({
    ...BASE_ENV,
    HOSTNAME: this.#isHostNetwork() ? this.#d.node.name : hostnameOf(this.#pod),
    KUBERNETES_SERVICE_HOST: this.#d.cluster.apiHost,
    KUBERNETES_SERVICE_PORT: String(this.#d.cluster.apiPort),
    KUBERNETES_SERVICE_PORT_HTTPS: String(this.#d.cluster.apiPort),
  });

  async #plan(c: Container): Promise<LaunchPlan> {
    const failed = (reason: string, message: string): LaunchPlan => ({ ok: false, reason, message });
    const image = this.#d.images.find(c.image);
    const env = environmentOf(c, factsOf(this.#d, this.#pod, this.ips), { ...this.#apiEnv(), ...image?.env });
    if (!env.ok) return failed('CreateContainerConfigError', env.error.message);
    const argv = argvOf(c, image, env.value);
    if (!argv.ok)
      return failed(argv.error.code === 'sandbox/unknown-image' ? 'ErrImagePull' : 'CreateContainerError', describeError(argv.error));
    const steps = containerSteps(
      effectiveSpec(this.#pod),
      c,
      {
        holderPid: this.#d.node.holder.pid,
        cgroup: join(this.#podCgroup(), c.name),
        netns: this.netns,
        podDir: `/var/lib/kubelet/pods/${this.uid}`,
        hostname: hostnameOf(this.#pod),
        etcHosts: etcHosts(this.#d, this.#pod, this.ips),
        resolvConf: resolvConf(this.#d, this.#pod),
        visible: this.#d.cluster.visible,
      },
      argv.value,
      c.workingDir ?? image?.workingDir,
    );
    if (!steps.ok) return failed('CreateContainerError', steps.error.message);
    return { ok: true, steps: steps.value, env: env.value, stdin: c.stdin === true };
  }

  #view = (s: Slot): ContainerView => ({ spec: s.spec, runtime: s.runtime, ready: s.ready, started: s.started });

  #wantStatus(): void {
    this.#statusWanted = true;
    this.#statusRunning ??= this.#writeStatus().finally(() => {
      this.#statusRunning = undefined;
    });
  }

  async #writeStatus(): Promise<void> {
    // let everything that happens in this turn be one write
    await new Promise<void>((r) => setImmediate(r));
    const backoff = createBackoff({ baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS });
    while (this.#statusWanted) {
      this.#statusWanted = false;
      const status = podStatus({
        pod: this.#pod,
        init: this.#slots.filter((s) => s.init).map(this.#view),
        main: this.#slots.filter((s) => !s.init).map(this.#view),
        podIps: this.ips,
        hostIps: [this.#d.node.address.v4, this.#d.node.address.v6],
        startedAtMs: this.#startedAtMs,
        nowMs: this.#d.clock.nowMs(),
      });
      const text = canonicalJson(status);
      if (text === this.#written) continue;
      try {
        await this.#d.client.patch(
          PODS,
          nsOf(this.#pod),
          nameOf(this.#pod),
          'strategic',
          { metadata: { uid: this.uid }, status },
          { subresource: 'status' },
        );
        this.#written = text;
      } catch (e) {
        if (isNotFound(e)) return;
        this.#d.log.warn('pod status not written', { pod: nameOf(this.#pod), error: describeError(e) });
        if (this.#stop.signal.aborted) return;
        await this.#d.clock.sleep(backoff.nextMs());
        this.#statusWanted = true;
      }
    }
  }

  #graceMs = (): number =>
    (this.#pod.metadata.deletionGracePeriodSeconds ?? podSpecOf(this.#pod).terminationGracePeriodSeconds ?? DEFAULT_GRACE_S) * 1000;

  #terminate(): void {
    if (this.#terminating) return;
    this.#terminating = true;
    void this.#tearDown()
      .catch((e: unknown) => this.#d.log.error('pod not torn down', { pod: nameOf(this.#pod), error: describeError(e) }))
      .finally(() => this.#finished.resolve());
  }

  async #stopSlot(s: Slot): Promise<void> {
    const hook = s.spec.lifecycle?.preStop;
    const before = async (): Promise<void> => {
      if (hook?.exec?.command !== undefined) await this.execIn(s.spec.name, hook.exec.command, this.#graceMs());
      if (hook?.sleep !== undefined) await this.#d.clock.sleep(hook.sleep.seconds * 1000);
    };
    s.probes?.abort();
    if (s.runtime?.child() !== undefined) this.#event('Normal', 'Killing', `Stopping container ${s.spec.name}`);
    await s.runtime?.stop(this.#graceMs(), hook === undefined ? undefined : before);
  }

  async #tearDown(): Promise<void> {
    this.#stop.abort();
    this.#renewal?.cancel();
    await Promise.all(this.#slots.map((s) => this.#stopSlot(s)));
    await this.#flow;
    await this.#statusRunning;
    if (this.#sandbox !== undefined) await destroyPodSandbox(this.#d, this.#sandbox);
    await destroyCgroup(this.#podCgroup());
    rmSync(this.#podDir(), { recursive: true, force: true });
    await ignoreNotFound(
      this.#d.client.delete(PODS, nsOf(this.#pod), nameOf(this.#pod), { gracePeriodSeconds: 0, preconditions: { uid: this.uid } }),
    ).catch((e: unknown) => this.#d.log.warn('pod object not removed', { pod: nameOf(this.#pod), error: describeError(e) }));
  }
}

const waitingEvent = (reason: string): string => (reason === 'CrashLoopBackOff' ? 'BackOff' : 'Failed');
