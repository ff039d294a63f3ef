// Generated from bpf/build/types.o by packages/contracts/datapath/generate.ts. Do not edit.
import { getBe16, getBytes, getU16, getU32, getU64, putBe16, putBytes, putU16, putU32, putU64, room, type Codec } from '../codec.ts';

/** `struct node_config`, 104 bytes. */
export interface NodeConfig {
  /** 4 bytes. */
  readonly nodeIp4: Uint8Array;
  /** 4 bytes. */
  readonly routerIp4: Uint8Array;
  /** 16 bytes. */
  readonly nodeIp6: Uint8Array;
  /** 16 bytes. */
  readonly routerIp6: Uint8Array;
  readonly ifindexVxlan: number;
  readonly ifindexHost: number;
  readonly ifindexNet: number;
  readonly ifindexNetdev: number;
  /** 6 bytes. */
  readonly macHost: Uint8Array;
  /** 6 bytes. */
  readonly macNet: Uint8Array;
  readonly flags: number;
  /** Network order in the table, plain number here. */
  readonly vxlanPort: number;
  readonly snatMin: number;
  readonly snatMax: number;
  readonly nodePortMin: number;
  readonly eventSample: number;
  readonly dropSample: number;
  readonly netnsCookie: bigint;
  readonly nodePortMax: number;
  readonly pathMtu: number;
}

export const nodeConfig: Codec<NodeConfig> = {
  name: 'node_config',
  size: 104,
  encode(v, out, at = 0) {
    const b = room(out, at, 104);
    putBytes(b, at, v.nodeIp4, 4, 'node_config.node_ip4');
    putBytes(b, at + 4, v.routerIp4, 4, 'node_config.router_ip4');
    putBytes(b, at + 8, v.nodeIp6, 16, 'node_config.node_ip6');
    putBytes(b, at + 24, v.routerIp6, 16, 'node_config.router_ip6');
    putU32(b, at + 40, v.ifindexVxlan, 'node_config.ifindex_vxlan');
    putU32(b, at + 44, v.ifindexHost, 'node_config.ifindex_host');
    putU32(b, at + 48, v.ifindexNet, 'node_config.ifindex_net');
    putU32(b, at + 52, v.ifindexNetdev, 'node_config.ifindex_netdev');
    putBytes(b, at + 56, v.macHost, 6, 'node_config.mac_host');
    putBytes(b, at + 62, v.macNet, 6, 'node_config.mac_net');
    putU32(b, at + 68, v.flags, 'node_config.flags');
    putBe16(b, at + 72, v.vxlanPort, 'node_config.vxlan_port');
    putU16(b, at + 74, v.snatMin, 'node_config.snat_min');
    putU16(b, at + 76, v.snatMax, 'node_config.snat_max');
    putU16(b, at + 78, v.nodePortMin, 'node_config.node_port_min');
    putU32(b, at + 80, v.eventSample, 'node_config.event_sample');
    putU32(b, at + 84, v.dropSample, 'node_config.drop_sample');
    putU64(b, at + 88, v.netnsCookie, 'node_config.netns_cookie');
    putU16(b, at + 96, v.nodePortMax, 'node_config.node_port_max');
    putU16(b, at + 98, v.pathMtu, 'node_config.path_mtu');
    return b;
  },
  decode(b, at = 0) {
    return {
      nodeIp4: getBytes(b, at, 4),
      routerIp4: getBytes(b, at + 4, 4),
      nodeIp6: getBytes(b, at + 8, 16),
      routerIp6: getBytes(b, at + 24, 16),
      ifindexVxlan: getU32(b, at + 40),
      ifindexHost: getU32(b, at + 44),
      ifindexNet: getU32(b, at + 48),
      ifindexNetdev: getU32(b, at + 52),
      macHost: getBytes(b, at + 56, 6),
      macNet: getBytes(b, at + 62, 6),
      flags: getU32(b, at + 68),
      vxlanPort: getBe16(b, at + 72),
      snatMin: getU16(b, at + 74),
      snatMax: getU16(b, at + 76),
      nodePortMin: getU16(b, at + 78),
      eventSample: getU32(b, at + 80),
      dropSample: getU32(b, at + 84),
      netnsCookie: getU64(b, at + 88),
      nodePortMax: getU16(b, at + 96),
      pathMtu: getU16(b, at + 98),
    };
  },
};
