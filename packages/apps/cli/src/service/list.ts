// `axoneme service list`: every Service, what it is reached at, how its backends are, and what is wrong with it.
import type { ServiceState } from '@axoneme/proto';
import type { AdminClient } from '@axoneme/stream';
import { jsonArray, type Output, table } from '../output.ts';
import { frontendText, stateTexts } from './text.ts';

const SHOWN = 3;

function frontends(s: ServiceState): string {
  const texts = s.frontends.filter((f) => f.port !== 0).map(frontendText);
  return texts.length <= SHOWN ? texts.join(', ') : `${texts.slice(0, SHOWN).join(', ')} and ${texts.length - SHOWN} more`;
}

export function renderServices(services: readonly ServiceState[]): string {
  const rows = services.map((s) => [`${s.namespace}/${s.name}`, s.type, frontends(s), stateTexts(s.states), s.remarks.length]);
  const list = table(['SERVICE', 'TYPE', 'FRONTENDS', 'BACKENDS', 'REMARKS'], rows);
  const remarks = services.flatMap((s) => s.remarks.map((r) => `  ${s.namespace}/${s.name}: ${r}`));
  return remarks.length === 0 ? list : `${list}\nRemarks:\n${remarks.join('\n')}\n`;
}

export async function serviceList(client: AdminClient, namespace: string, asJson: boolean, out: Output): Promise<void> {
  const answers = client.listServices({ namespace, name: '', node: '', serviceId: 0 });
  if (asJson) {
    const array = jsonArray(out);
    for await (const { service } of answers) if (service !== undefined) array.add(JSON.stringify(service));
    array.end();
    return;
  }
  const services: ServiceState[] = [];
  for await (const { service } of answers) if (service !== undefined) services.push(service);
  out.write(renderServices(services));
}
