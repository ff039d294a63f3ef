// Lets a bounded number of nodes load at once after a reconnect storm; the others wait their turn. Called by sessions.

export interface Admission {
  /** Calls `enter` when there is room (maybe at once). The returned function leaves the queue or the room. */
  request(enter: () => void): () => void;
  waiting(): number;
}

export function createAdmission(limit: number): Admission {
  let inside = 0;
  const queue = new Set<() => void>();
  const admit = (): void => {
    for (const ticket of queue) {
      if (inside >= limit) return;
      queue.delete(ticket);
      ticket();
    }
  };
  return {
    request(enter) {
      let state: 'queued' | 'inside' | 'left' = 'queued';
      const ticket = (): void => {
        state = 'inside';
        inside++;
        enter();
      };
      queue.add(ticket);
      admit();
      return () => {
        if (state === 'inside') inside--;
        queue.delete(ticket);
        state = 'left';
        admit();
      };
    },
    waiting: () => queue.size,
  };
}
