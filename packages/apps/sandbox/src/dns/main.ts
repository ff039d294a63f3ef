// Image axoneme/sandbox-dns: the cluster's DNS server, a pod like any other with a service account of its own.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describeError, systemClock } from '@axoneme/std';
import { createLog } from '@axoneme/telemetry';
import { createCaches } from '../client/cache.ts';
import { createHttpClient } from '../client/http-client.ts';
import { startDnsServer } from './server.ts';
import { createZoneView } from './view.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { domain: { type: 'string', default: 'cluster.local' }, port: { type: 'string', default: '53' } },
  });
  const log = createLog({ app: 'sandbox-dns' });
  const url = `https://${process.env.KUBERNETES_SERVICE_HOST}:${process.env.KUBERNETES_SERVICE_PORT}`;
  const client = createHttpClient(
    { url, ca: readFileSync(`${ACCOUNT}/ca.crt`, 'utf8'), token: () => readFileSync(`${ACCOUNT}/token`, 'utf8') },
    { clock: systemClock, log },
  );
  const view = await createZoneView(createCaches(client, systemClock), values.domain);
  await startDnsServer(view, Number(values.port), log);
  log.info('answering', { domain: values.domain, port: Number(values.port) });
}

main().catch((e: unknown) => {
  process.stderr.write(`sandbox-dns: ${describeError(e)}\n`);
  process.exit(1);
});
