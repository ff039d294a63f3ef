// Puts the CNI plugin and its configuration where the container runtime looks. The configuration comes last and only when pods can be
// served: its presence makes the node ready. Called by wiring.
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { AppError } from '@axoneme/std';

export const conflistName = '05-axoneme.conflist';
const binaryName = 'axoneme-cni';

export interface CniPaths {
  readonly binary: string;
  readonly binDir: string;
  readonly confDir: string;
}

const sameFile = (a: string, b: string): boolean => {
  try {
    return readFileSync(a).equals(readFileSync(b));
  } catch {
    return false;
  }
};

/** Copies the plugin; a running copy is replaced, not overwritten. */
export function installBinary(p: CniPaths): void {
  const target = `${p.binDir}/${binaryName}`;
  if (p.binary === '' || sameFile(p.binary, target)) return;
  try {
    mkdirSync(p.binDir, { recursive: true });
    copyFileSync(p.binary, `${target}.tmp`);
    chmodSync(`${target}.tmp`, 0o755);
    renameSync(`${target}.tmp`, target);
  } catch (cause) {
    throw new AppError({
      code: 'agent/cni-install',
      message: `cannot install the CNI plugin ${p.binary} to ${target}`,
      cause,
      hint: 'build it with make -C packages/apps/cni',
    });
  }
}

export function conflist(): string {
  const list = { cniVersion: '1.1.0', name: 'axoneme', disableGC: false, plugins: [{ type: binaryName }] };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

/** Writes the configuration list unless it is there already. True when it was written. */
export function installConflist(p: CniPaths): boolean {
  const path = `${p.confDir}/${conflistName}`;
  try {
    if (readFileSync(path, 'utf8') === conflist()) return false;
  } catch {
    // not there
  }
  mkdirSync(p.confDir, { recursive: true });
  writeFileSync(`${path}.tmp`, conflist(), { mode: 0o644 });
  renameSync(`${path}.tmp`, path);
  return true;
}
