// RE2 patterns as JavaScript regular expressions. Used by validation and by the CRD checks.

const cache = new Map<string, RegExp | null>();
const cacheMax = 2000;

const posix: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  punct: '!-\\/:-@\\[-`{-~',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
};

/** undefined when JavaScript can't run it. */
export function compilePattern(pattern: string): RegExp | undefined {
  let re = cache.get(pattern);
  if (re === undefined) {
    re = build(pattern);
    if (cache.size >= cacheMax) cache.clear();
    cache.set(pattern, re);
  }
  return re ?? undefined;
}

function build(pattern: string): RegExp | null {
  let text = pattern.replace(/\[:(\w+):\]/g, (whole, name: string) => posix[name] ?? whole);
  let flags = '';
  const lead = /^\(\?([ims]+)\)/.exec(text);
  if (lead !== null) {
    text = text.slice(lead[0].length);
    flags = lead[1] ?? '';
  }
  text = text.replaceAll('\\A', '^').replaceAll('\\z', '$').replaceAll('(?P<', '(?<');
  for (const f of [`u${flags}`, flags]) {
    try {
      return new RegExp(text, f);
    } catch {
      // without the u flag JavaScript is more forgiving; then give up
    }
  }
  return null;
}
