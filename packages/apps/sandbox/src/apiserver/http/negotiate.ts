// Which form the client wants: JSON, Table or PartialObjectMetadata. Called by ./handlers.ts and ./watch-response.ts.
import type { IncomingMessage } from 'node:http';

export type Form = 'json' | 'table' | 'partial' | 'yaml';

export interface Wanted {
  readonly form: Form;
  readonly contentType: string;
}

interface Offer {
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
}

export function parseAccept(header: string | undefined): Offer[] {
  return (header ?? '*/*').split(',').map((part) => {
    const [type = '', ...params] = part.split(';').map((x) => x.trim());
    return { type: type.toLowerCase(), params: new Map(params.map((p) => p.split('=', 2) as [string, string])) };
  });
}

export function wantedForm(req: IncomingMessage): Wanted {
  for (const o of parseAccept(req.headers.accept)) {
    const json = o.type === 'application/json' || o.type === '*/*' || o.type === 'application/*' || o.type === '';
    if (o.type === 'application/yaml' && !o.params.has('as')) return { form: 'yaml', contentType: 'application/yaml' };
    if (!json) continue;
    const as = o.params.get('as');
    if (as === undefined) return { form: 'json', contentType: 'application/json' };
    if (o.params.get('g') !== 'meta.k8s.io' || o.params.get('v') !== 'v1') continue;
    if (as === 'Table') return { form: 'table', contentType: 'application/json' };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { form: 'partial', contentType: 'application/json' };
  }
  return { form: 'json', contentType: 'application/json' };
}
