// Gives memory back after a burst. V8 keeps what a large commit needed for as long as nothing else asks for memory, and an agent has nothing
// else to do: without this its size is that of its largest commit. Called by wiring.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Timer } from '@axoneme/std';

const quietMs = 1_000;

/** Returns a function to call after each burst; one collection follows when it has been quiet for a second. */
export function createCollector(clock: Clock): () => void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  let timer: Timer | undefined;
  return () => {
    timer?.cancel();
    timer = clock.after(quietMs, gc);
  };
}
