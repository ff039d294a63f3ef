// The address plan of one sandbox: everything follows from its subnet number (1-255), so that several sandboxes never overlap.

export const WORLD = { v4: '203.0.113.9', v6: '2001:db8:ffff::9', gatewayV4: '203.0.113.1', gatewayV6: '2001:db8:ffff::1' } as const;
export const NODES_MAX = 200;
const FIRST_NODE_HOST = 11;

export interface AddressPair {
  readonly v4: string;
  readonly v6: string;
}

const pair = (subnet: number, host: number): AddressPair => ({
  v4: `172.30.${subnet}.${host}`,
  v6: `fd30:0:0:${subnet.toString(16)}::${host.toString(16)}`,
});

/** The machine itself, where the API server listens. */
export const hostAddress = (subnet: number): AddressPair => pair(subnet, 1);
/** The fabric's router: the nodes' default gateway. */
export const routerAddress = (subnet: number): AddressPair => pair(subnet, 2);
export const nodeAddress = (subnet: number, index: number): AddressPair => pair(subnet, FIRST_NODE_HOST + index);
/** Name of the link in the machine's own namespace. */
export const hostLink = (subnet: number): string => `axs${subnet}`;
