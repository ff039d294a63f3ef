// Connections to an operator replica over TLS. Called by the clients of this package.
import { createSecureContext } from 'node:tls';
import { AppError } from '@axoneme/std';
import { type ChannelOptions, Client, credentials } from '@grpc/grpc-js';

export interface ClientTls {
  readonly caPem: string;
  /** Absent where the server asks for none (bootstrap). */
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
}

/** Name in every operator's certificate; replicas are addressed by IP, so the certificate cannot name the address. */
export const operatorServerName = 'operator.axoneme.internal';

/** grpc-js form of `host:port`, with IPv6 in brackets. Throws `stream/bad-endpoint`. */
export function targetOf(endpoint: string): string {
  const m = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(endpoint.trim());
  if (m === null || Number(m[3]) > 65_535) {
    throw new AppError({ code: 'stream/bad-endpoint', message: `${endpoint} is not host:port`, hint: 'write IPv6 addresses in brackets' });
  }
  if (m[1] !== undefined) return `ipv6:[${m[1]}]:${m[3]}`;
  return /^[0-9.]+$/.test(m[2] as string) ? `ipv4:${m[2]}:${m[3]}` : `dns:${m[2]}:${m[3]}`;
}

const options: ChannelOptions = {
  // A channel belongs to one attempt; sharing would keep an old certificate alive.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': 8 * 1024 * 1024,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_channelz': 0,
};

export function openChannel(endpoint: string, tls: ClientTls, serverName: string): Client {
  try {
    const secureContext = createSecureContext({
      ca: tls.caPem,
      minVersion: 'TLSv1.2',
      ...(tls.certPem === undefined ? {} : { cert: tls.certPem }),
      ...(tls.keyPem === undefined ? {} : { key: tls.keyPem }),
    });
    return new Client(targetOf(endpoint), credentials.createFromSecureContext(secureContext), {
      ...options,
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
    });
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError({ code: 'stream/bad-certificate', message: 'the client certificate cannot be used', cause });
  }
}
