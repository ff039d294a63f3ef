// One AdmissionReview: text in, answer out. Total: whatever the text, there is an answer. Called by server.ts and by tests.
import { describeError } from '@axoneme/std';
import { asObject, type Json, meaningOf, readObject } from './kinds.ts';

export interface ReviewAnswer {
  /** HTTP status; anything but 200 means that the question itself was not understood. */
  readonly status: number;
  readonly outcome: 'allowed' | 'denied' | 'bad';
  readonly body: string;
}

/** Limits of the API server: longer warnings are cut there, and more of them are dropped without a word. */
const WARNING_CHARS = 256;
const WARNINGS_MAX = 16;
const PROBLEMS_MAX = 20;
const PROBLEM_CHARS = 512;

const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max - 1)}…`);
const str = (v: unknown): string => (typeof v === 'string' ? v : '');

/** The first few, and how many there are beside them. */
function some(list: readonly string[], max: number, chars: number): string[] {
  const shown = list.slice(0, list.length > max ? max - 1 : max).map((t) => cut(t, chars));
  return list.length > max ? [...shown, `and ${list.length - shown.length} more`] : shown;
}

const bad = (why: string): ReviewAnswer => ({ status: 400, outcome: 'bad', body: `${why}\n` });

function answerOf(uid: string, response: Json): ReviewAnswer {
  const body = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, ...response } };
  return { status: 200, outcome: response.allowed === true ? 'allowed' : 'denied', body: JSON.stringify(body) };
}

function denial(kind: string, name: string, problems: readonly string[]): Json {
  const shown = some(problems, PROBLEMS_MAX, PROBLEM_CHARS);
  const message = shown.join('; ');
  const causes = shown.map((p) => {
    const at = /^([A-Za-z][\w.[\]/-]*): /.exec(p);
    return at === null ? { message: p } : { reason: 'FieldValueInvalid', field: at[1], message: p.slice(at[0].length) };
  });
  return { status: 'Failure', code: 422, reason: 'Invalid', message, details: { kind, name, causes } };
}

function judge(request: Json, clusterName: string): Json {
  const { kind } = asObject(request.kind);
  const object = asObject(request.object);
  const operation = str(request.operation);
  if (operation !== 'CREATE' && operation !== 'UPDATE') return { allowed: true };
  try {
    return judgeObject(request, object, operation, clusterName);
  } catch (error) {
    // nested beyond what can be walked, for instance
    const problem = `the object cannot be read: ${describeError(error)}`;
    return { allowed: false, status: denial(str(kind), str(request.name), [problem]) };
  }
}

function judgeObject(request: Json, object: Json, operation: string, clusterName: string): Json {
  const { group, kind } = asObject(request.kind);
  const reading = readObject(str(group), str(kind), object, clusterName);
  if (reading === undefined) return { allowed: true };
  const unchanged = operation === 'UPDATE' && meaningOf(asObject(request.oldObject)) === meaningOf(object);
  const leaving = asObject(object.metadata).deletionTimestamp != null;
  const pass = reading.problems.length === 0 || unchanged || leaving;
  const notes = pass ? [...reading.problems, ...reading.warnings] : reading.warnings;
  const warnings = some(notes, WARNINGS_MAX, WARNING_CHARS);
  return {
    allowed: pass,
    ...(pass ? {} : { status: denial(str(kind), str(request.name), reading.problems) }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}

/** Answers one review of `admission.k8s.io/v1`. */
export function answerReview(text: string, clusterName: string): ReviewAnswer {
  let review: Json;
  try {
    review = asObject(JSON.parse(text));
  } catch {
    return bad('the body is not JSON');
  }
  if (review.kind !== 'AdmissionReview' || review.apiVersion !== 'admission.k8s.io/v1')
    return bad('expected an AdmissionReview of admission.k8s.io/v1');
  const request = asObject(review.request);
  const uid = str(request.uid);
  if (uid === '') return bad('request.uid is missing');
  return answerOf(uid, judge(request, clusterName));
}
