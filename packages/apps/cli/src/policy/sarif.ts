// Findings as SARIF 2.1.0, the form that code scanning services read. Called by `policy validate -o sarif`.
import { type Finding, findingRules } from './findings.ts';

export function sarif(findings: readonly Finding[]): object {
  const ids = Object.keys(findingRules);
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'axoneme',
            rules: Object.entries(findingRules).map(([id, text]) => ({ id, shortDescription: { text } })),
          },
        },
        results: findings.map((f) => ({
          ruleId: f.rule,
          ruleIndex: ids.indexOf(f.rule),
          level: f.level,
          message: { text: messageText(f) },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: f.file === '-' ? 'stdin' : uriOf(f.file) },
                region: { startLine: f.line },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** Relative to the repository where the path is; forward slashes, percent-encoded. */
const uriOf = (file: string): string => file.replace(/^\.\//, '').split(/[\\/]/).map(encodeURIComponent).join('/');

export function messageText(f: Finding): string {
  const where = [f.object, f.path].filter((s) => s !== '').join(' ');
  return `${where === '' ? '' : `${where}: `}${f.message}${f.hint === undefined ? '' : ` (${f.hint})`}`;
}
