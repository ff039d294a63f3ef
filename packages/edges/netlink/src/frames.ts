// Whole Ethernet frames out of a device, and IPv6 groups a device listens to. Called by the agent's announcements.
import { ipBytes, parseIp } from '@axoneme/model';
import { AppError } from '@axoneme/std';
import { check, libcHandle } from './ffi.ts';

const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const IPPROTO_IPV6 = 41;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;

/** Sends from the network namespace it was made in. */
export interface FrameSender {
  /** A frame with its Ethernet header. Throws `netlink/sendto`. */
  send(ifindex: number, frame: Uint8Array): void;
  close(): void;
}

export function openFrameSender(): FrameSender {
  const libc = libcHandle();
  // protocol 0: it hears nothing
  const fd = check('socket', libc.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0), 'packet');
  return {
    send(ifindex, frame) {
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.set(frame.subarray(12, 14), 2);
      address.writeInt32LE(ifindex, 4);
      address.writeUInt8(6, 11);
      address.set(frame.subarray(0, 6), 12);
      check('sendto', libc.sendto(fd, frame, frame.length, 0, address, address.length), `device ${ifindex}`);
    },
    close: () => void libc.close(fd),
  };
}

/** Groups of the namespace it was made in; they end with it. */
export interface GroupMember {
  /** Packets to the group are let in by the device, and switches that look at such things pass them on. */
  join(ifindex: number, group: string): void;
  leave(ifindex: number, group: string): void;
  close(): void;
}

export function openGroupMember(): GroupMember {
  const libc = libcHandle();
  const fd = check('socket', libc.socket(AF_INET6, SOCK_DGRAM_CLOEXEC, 0), 'udp6');
  const change = (option: number, ifindex: number, group: string): void => {
    const ip = parseIp(group);
    if (!ip.ok) throw new AppError({ code: 'netlink/bad-group', message: `${group} is not an address` });
    const request = Buffer.alloc(20);
    request.set(ipBytes(ip.value).subarray(0, 16), 0);
    request.writeInt32LE(ifindex, 16);
    check('group', libc.setsockopt(fd, IPPROTO_IPV6, option, request, request.length), `${group} on device ${ifindex}`);
  };
  return {
    join: (ifindex, group) => change(IPV6_ADD_MEMBERSHIP, ifindex, group),
    leave: (ifindex, group) => change(IPV6_DROP_MEMBERSHIP, ifindex, group),
    close: () => void libc.close(fd),
  };
}
