// `--port` and `--icmp` → what is sent, for each address family. Called by `verdict` and `why`.
import { type IpFamily, icmpTypeByName, parsePort, protocolNumbers } from '@axoneme/model';
import type { SceneEnd, Traffic } from '@axoneme/policy';
import { AppError } from '@axoneme/std';

export interface TrafficOptions {
  readonly port?: string | undefined;
  readonly icmp?: string | undefined;
}

const usage = (message: string, hint: string): AppError => new AppError({ code: 'cli/usage', message, hint });
const portHint = 'write 80, 80/UDP, a port name of the destination, or a protocol number as 0/47';

export function parseTraffic(o: TrafficOptions, to: SceneEnd): Traffic {
  if ((o.port === undefined) === (o.icmp === undefined)) throw usage('needs one of --port and --icmp', portHint);
  return o.icmp === undefined ? parsePortText(o.port!, to) : parseIcmp(o.icmp);
}

function parsePortText(text: string, to: SceneEnd): Traffic {
  const [port = '', protocol = ''] = text.split('/');
  const name = port.toLowerCase();
  const named =
    to.kind === 'pod'
      ? to.namedPorts.find((n) => n.name === name && (protocol === '' || n.protocol === protocol.toUpperCase()))
      : undefined;
  if (named !== undefined) return () => ({ protocol: protocolNumbers[named.protocol], port: named.port });
  const number = protocolNumber(protocol === '' ? 'TCP' : protocol);
  const parsed = port === '0' ? 0 : parsePort(port);
  if (number === undefined || (typeof parsed !== 'number' && !parsed.ok)) throw usage(`"${text.slice(0, 32)}" is no port`, portHint);
  const value = typeof parsed === 'number' ? 0 : parsed.value;
  return () => ({ protocol: number, port: value });
}

function protocolNumber(text: string): number | undefined {
  const upper = text.toUpperCase();
  const byName = Object.entries(protocolNumbers).find(([name]) => name.toUpperCase() === upper)?.[1];
  if (byName !== undefined && byName !== 0) return byName;
  return /^[0-9]{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 255 ? Number(text) : undefined;
}

/** A name may mean different numbers in the families, or nothing in one of them. */
function parseIcmp(text: string): Traffic {
  const typeIn = (family: IpFamily): number | undefined =>
    /^[0-9]{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : icmpTypeByName(family, text);
  if (typeIn(4) === undefined && typeIn(6) === undefined)
    throw usage(`"${text.slice(0, 32)}" is no ICMP type`, 'write a number or a name as EchoRequest');
  return (family) => {
    const port = typeIn(family);
    return port === undefined ? undefined : { protocol: family === 4 ? protocolNumbers.ICMP : protocolNumbers.ICMPv6, port };
  };
}
