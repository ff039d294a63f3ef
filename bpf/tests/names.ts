// Addresses and numbers the packet tests speak of.
export const PROTO = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

function bytes6(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const words = (s: string): string[] => (s === '' ? [] : s.split(':'));
  const left = words(head);
  const right = words(tail ?? '');
  const fill = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
  return Buffer.from([...left, ...fill, ...right].map((w) => w.padStart(4, '0')).join(''), 'hex');
}

/** Address as 4 or 16 bytes. */
export const IP = Object.assign((text: string): Buffer => (text.includes(':') ? bytes6(text) : Buffer.from(text.split('.').map(Number))), {
  text: (b: Uint8Array): string => (b.length === 4 ? b.join('.') : Buffer.from(b).toString('hex')),
  /** As the tables hold it. */
  table: (text: string): Buffer => {
    const b = Buffer.alloc(16);
    IP(text).copy(b);
    return b;
  },
});

export const family = (text: string): 4 | 6 => (text.includes(':') ? 6 : 4);
