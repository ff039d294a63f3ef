// Label selectors as objects (matchLabels, matchExpressions) against labels.

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] }[];
}

type Labels = Readonly<Record<string, string>> | undefined;

function expressionMatches(
  e: { readonly key: string; readonly operator: string; readonly values?: readonly string[] },
  labels: Labels,
): boolean {
  const value = labels?.[e.key];
  switch (e.operator) {
    case 'In':
      return value !== undefined && (e.values ?? []).includes(value);
    case 'NotIn':
      return value === undefined || !(e.values ?? []).includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(e.values?.[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(e.values?.[0]);
    default:
      return false;
  }
}

export const labelsMatch = (wanted: Readonly<Record<string, string>>, labels: Labels): boolean =>
  Object.entries(wanted).every(([k, v]) => labels?.[k] === v);

/** An empty selector matches everything, an absent one nothing. */
export function selectorMatches(s: LabelSelector | undefined, labels: Labels): boolean {
  if (s === undefined) return false;
  return labelsMatch(s.matchLabels ?? {}, labels) && (s.matchExpressions ?? []).every((e) => expressionMatches(e, labels));
}
