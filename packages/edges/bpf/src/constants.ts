// Numbers of the kernel's bpf UAPI that this package and its callers use, with the names of linux/bpf.h in lower camel case.

export const MapType = {
  hash: 1,
  array: 2,
  progArray: 3,
  perfEventArray: 4,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lruPercpuHash: 10,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  ringbuf: 27,
} as const;

export const MAP_TYPE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(Object.entries(MapType).map(([k, v]) => [v, k]));

export const ProgType = {
  socketFilter: 1,
  schedCls: 3,
  xdp: 6,
  cgroupSkb: 8,
  cgroupSock: 9,
  rawTracepoint: 17,
  cgroupSockAddr: 18,
  syscall: 31,
} as const;

export const AttachType = {
  cgroupInetIngress: 0,
  cgroupInetEgress: 1,
  cgroupInet4Connect: 10,
  cgroupInet6Connect: 11,
  cgroupInet4PostBind: 12,
  cgroupInet6PostBind: 13,
  cgroupUdp4Sendmsg: 14,
  cgroupUdp6Sendmsg: 15,
  cgroupUdp4Recvmsg: 19,
  cgroupUdp6Recvmsg: 20,
  cgroupInet4Getpeername: 29,
  cgroupInet6Getpeername: 30,
  cgroupInetSockRelease: 34,
  xdp: 37,
  tcxIngress: 46,
  tcxEgress: 47,
} as const;

export const LinkType = { cgroup: 3, xdp: 6, tcx: 11, netkit: 13 } as const;

export const UpdateFlag = { any: 0n, noExist: 1n, exist: 2n } as const;
export const MapFlag = { noPrealloc: 1, readOnlyProg: 1 << 7 } as const;

/** What a program at the driver answers. */
export const XdpVerdict = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;

/** Direction of a tc hook as seen from the device. */
export type TcDirection = 'ingress' | 'egress';
