// Kubernetes quantities: parsing and the canonical spelling. Used by normalisation and by CEL's quantity().

const binary: Readonly<Record<string, bigint>> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const decimal: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const suffixOf: Readonly<Record<number, string>> = {
  [-9]: 'n',
  [-6]: 'u',
  [-3]: 'm',
  0: '',
  3: 'k',
  6: 'M',
  9: 'G',
  12: 'T',
  15: 'P',
  18: 'E',
};

/** Value in billionths, or undefined when the text is no quantity. */
export function parseQuantity(text: string): { readonly nanos: bigint; readonly style: 'binary' | 'decimal' | 'exponent' } | undefined {
  const m = /^([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/.exec(text);
  if (m === null || ((m[2] ?? '') === '' && (m[3] ?? '') === '')) return undefined;
  const fraction = m[3] ?? '';
  const digits = BigInt(`${m[2] ?? ''}${fraction}` || '0');
  const sign = m[1] === '-' ? -1n : 1n;
  const suffix = m[4] ?? '';
  const factor = binary[suffix];
  if (factor !== undefined) {
    return { nanos: (sign * digits * factor * 1_000_000_000n) / 10n ** BigInt(fraction.length), style: 'binary' };
  }
  const style = /^[eE][+-]?\d/.test(suffix) ? 'exponent' : 'decimal';
  const exp = (style === 'exponent' ? Number(suffix.slice(1)) : (decimal[suffix] as number)) + 9 - fraction.length;
  const abs = exp >= 0 ? digits * 10n ** BigInt(Math.min(exp, 60)) : ceilDiv(digits, 10n ** BigInt(Math.min(-exp, 60)));
  return { nanos: sign * abs, style };
}

/** The spelling the API server would give back; undefined when not a quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const q = parseQuantity(text);
  if (q === undefined) return undefined;
  if (q.nanos === 0n) return '0';
  if (q.style === 'binary') {
    const whole = q.nanos / 1_000_000_000n;
    if (whole * 1_000_000_000n === q.nanos && (whole >= 1024n || whole <= -1024n)) {
      let best = '';
      for (const [name, factor] of Object.entries(binary)) if (whole % factor === 0n) best = `${whole / factor}${name}`;
      return best === '' ? String(whole) : best;
    }
  }
  let exp = -9;
  let v = q.nanos;
  while (v % 1000n === 0n && exp < 18) {
    v /= 1000n;
    exp += 3;
  }
  const suffix = suffixOf[exp] as string;
  return q.style === 'exponent' && exp > 0 ? `${v}e${exp}` : `${v}${suffix}`;
}

function ceilDiv(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}
