// Notices that a file has other content, however it was changed: written, replaced, or a link to it turned. Called by `lb run`.
import { readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { type Clock, describeError, type Timer } from '@axoneme/std';

/** A writer that does not replace the file at once may still be at it. */
const settleMs = 50;
/** Where nobody tells (other file systems, links elsewhere). */
const lookMs = 1_000;

/** `onText` once for every content that differs from the one before; `onLost` when it cannot be read, once. */
export function followFile(
  path: string,
  first: string,
  on: { readonly text: (text: string) => void; readonly lost: (reason: string) => void },
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): void {
  let known = first;
  let lost = false;
  let soon: Timer | undefined;
  let slow: Timer | undefined;
  const look = (): void => {
    soon = undefined;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (e) {
      if (!lost) on.lost(describeError(e));
      lost = true;
      return;
    }
    if (text === known && !lost) return;
    known = text;
    lost = false;
    on.text(text);
  };
  const tick = (): void => {
    if (soon === undefined) look();
    slow = clock.after(lookMs, tick);
  };
  slow = clock.after(lookMs, tick);
  const watcher = watch(dirname(path), () => {
    soon ??= clock.after(settleMs, look);
  });
  watcher.on('error', () => watcher.close());
  signal.addEventListener('abort', () => {
    watcher.close();
    soon?.cancel();
    slow?.cancel();
  });
}
