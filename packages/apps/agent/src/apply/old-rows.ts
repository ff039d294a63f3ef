// Rows that an agent before this one stored, in the layout of today: an upgraded node enforces what it holds until the operator sends it
// anew. Called by apply when it reads the store.
import { LbFlag, lbFrontendValue } from '@axoneme/datapath';
import type { Table } from '../ports/tables.ts';
import type { ArtifactContent } from '../store/artifact-file.ts';

type Sizes = Pick<Table, 'keySize' | 'valueSize'>;

/** `subject` was keyed by the identity alone; that is layer 0 now. */
const oldSubjectKey = 4;

/** `lb_frontend` had one set for every client: `{u64 set; u32 count; u32 flags; u32 service_id; u32 affinity_s}`. */
const oldFrontendValue = 24;

function todaysSubjects(content: ArtifactContent, t: Sizes): ArtifactContent {
  const rows = content.values.length / t.valueSize;
  if (t.keySize <= oldSubjectKey || rows === 0 || content.keys.length !== rows * oldSubjectKey) return content;
  const keys = Buffer.alloc(rows * t.keySize);
  for (let i = 0; i < rows; i++) content.keys.copy(keys, i * t.keySize, i * oldSubjectKey, (i + 1) * oldSubjectKey);
  return { ...content, keys };
}

function todaysFrontends(content: ArtifactContent, t: Sizes): ArtifactContent {
  const rows = content.keys.length / t.keySize;
  if (t.valueSize <= oldFrontendValue || rows === 0 || content.values.length !== rows * oldFrontendValue) return content;
  const values = Buffer.alloc(rows * t.valueSize);
  for (let i = 0; i < rows; i++) {
    const at = i * oldFrontendValue;
    const [set, count] = [content.values.readBigUInt64LE(at), content.values.readUInt32LE(at + 8)];
    const [serviceId, affinityS] = [content.values.readUInt32LE(at + 16), content.values.readUInt32LE(at + 20)];
    const flags = LbFlag.reject | (affinityS > 0 ? LbFlag.affinity : 0);
    const value = { setOut: set, setIn: set, countOut: count, countIn: count, maglevSize: 0, serviceId, affinityS, flags };
    lbFrontendValue.encode(value, values, i * t.valueSize);
  }
  return { ...content, values };
}

/** `t`: the table the rows are of. */
export function todaysRows(content: ArtifactContent, t: Sizes | undefined): ArtifactContent {
  if (t === undefined) return content;
  if (content.table === 'subject') return todaysSubjects(content, t);
  return content.table === 'lb_frontend' ? todaysFrontends(content, t) : content;
}
