// Rows that an agent before this one stored, in the layout of today: an upgraded node enforces what it holds until the operator sends it
// anew. Called by apply when it reads the store.
import type { Table } from '../ports/tables.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';

/** `subject` was keyed by the identity alone; that is layer 0 now. */
const oldSubjectKey = 4;

export function todaysRows(content: ArtifactContent, t: Pick<Table, 'keySize' | 'valueSize'> | undefined): ArtifactContent {
  if (content.table !== 'subject' || t === undefined || t.keySize <= oldSubjectKey) return content;
  const rows = content.values.length / t.valueSize;
  if (rows === 0 || content.keys.length !== rows * oldSubjectKey) return content;
  const keys = Buffer.alloc(rows * t.keySize);
  for (let i = 0; i < rows; i++) content.keys.copy(keys, i * t.keySize, i * oldSubjectKey, (i + 1) * oldSubjectKey);
  return { ...content, keys };
}
