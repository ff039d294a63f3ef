// A CRD as the YAML file that is committed. Called by generate.ts and the test that compares; not part of the package's API.
import { stringify } from 'yaml';
import type { CrdDefinition } from './definitions.ts';
import { crdManifest } from './openapi.ts';

export const crdFileName = (d: CrdDefinition): string => `${d.resource.plural}.yaml`;

export const crdYaml = (d: CrdDefinition): string =>
  `# Generated from packages/contracts/crds by \`npm run generate\`. Do not edit.\n${stringify(crdManifest(d), { aliasDuplicateObjects: false, lineWidth: 140 })}`;
