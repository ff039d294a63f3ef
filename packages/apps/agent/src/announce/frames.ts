// What a node says unasked about an address it has taken over: gratuitous ARP, unsolicited neighbour advertisements. Called by the announcer.
import { type IpAddr, ipBytes, ipFamily } from '@axoneme/model';

const bytesOf = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');

function arp(operation: 1 | 2, mac: Buffer, ip: Uint8Array): Buffer {
  const body = Buffer.from('0001080006040000', 'hex');
  body.writeUInt16BE(operation, 6);
  // the asked-for hardware address is nobody's in a question
  const target = operation === 1 ? Buffer.alloc(6) : mac;
  const frame = Buffer.concat([Buffer.alloc(6, 0xff), mac, Buffer.from('0806', 'hex'), body, mac, ip, target, ip]);
  return Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

function sum(...parts: readonly Buffer[]): number {
  const all = Buffer.concat(parts);
  let n = 0;
  for (let i = 0; i < all.length; i += 2) n += all.readUInt16BE(i);
  while (n > 0xffff) n = (n & 0xffff) + (n >>> 16);
  return ~n & 0xffff;
}

/** To all nodes, with the override flag; the node is a router. */
function advertisement(mac: Buffer, ip: Buffer): Buffer {
  const allNodes = Buffer.from('ff020000000000000000000000000001', 'hex');
  const message = Buffer.concat([Buffer.from('88000000a0000000', 'hex'), ip, Buffer.from([2, 1]), mac]);
  const pseudo = Buffer.concat([ip, allNodes, Buffer.from([0, 0, 0, message.length, 0, 0, 0, 58])]);
  message.writeUInt16BE(sum(pseudo, message), 2);
  const header = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, message.length, 58, 255]), ip, allNodes]);
  return Buffer.concat([Buffer.from('333300000001', 'hex'), mac, Buffer.from('86dd', 'hex'), header, message]);
}

/** Some listen to questions only, some to answers only. */
export function takeoverFrames(address: IpAddr, mac: string): readonly Buffer[] {
  const m = bytesOf(mac);
  if (ipFamily(address) === 6) return [advertisement(m, Buffer.from(ipBytes(address).subarray(0, 16)))];
  const ip = ipBytes(address).subarray(0, 4);
  return [arp(1, m, ip), arp(2, m, ip)];
}

/** Where questions for an IPv6 address go. */
export function solicitedNode(address: IpAddr): string {
  const [a = 0, b = 0, c = 0] = ipBytes(address).subarray(13, 16);
  return `ff02::1:ff${a.toString(16).padStart(2, '0')}:${((b << 8) | c).toString(16)}`;
}
