// Writes the CRDs: /crds/*.yaml for kubectl and the same files into the chart. Run by `npm run generate`.
import fs from 'node:fs';
import path from 'node:path';
import { crdDefinitions } from './src/definitions.ts';
import { crdFileName, crdYaml } from './src/yaml-file.ts';

const root = path.resolve(import.meta.dirname, '../../..');
for (const folder of ['crds', 'charts/axoneme/crds']) {
  const at = path.join(root, folder);
  fs.mkdirSync(at, { recursive: true });
  const wanted = new Map(crdDefinitions.map((d) => [crdFileName(d), crdYaml(d)]));
  for (const old of fs.readdirSync(at)) if (old.endsWith('.yaml') && !wanted.has(old)) fs.rmSync(path.join(at, old));
  for (const [name, yaml] of wanted) fs.writeFileSync(path.join(at, name), yaml);
}
