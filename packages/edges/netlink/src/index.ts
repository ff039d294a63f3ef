// rtnetlink, network namespaces and sysctls, synchronous, over koffi. The only package that speaks netlink.
export * from './address.ts';
export * from './frames.ts';
export * from './link.ts';
export { parseAddress } from './message.ts';
export * from './monitor.ts';
export * from './neighbour.ts';
export * from './netns.ts';
export * from './route.ts';
export * from './sock-diag.ts';
export { type Failure, NetlinkSocket, type Request, tolerate } from './socket.ts';
export * from './sysctl.ts';
