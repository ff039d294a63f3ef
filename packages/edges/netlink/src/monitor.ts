// Listens for changes others make to links, addresses, routes and rules, so that the agent can repair what was deleted.
// Polled by a timer: a read of an empty socket costs microseconds, and repair at human speed is enough.
import { type InterfaceAddress, parseInterfaceAddress, RTM_DELADDR, RTM_NEWADDR } from './address.ts';
import { type Link, parseLink, RTM_DELLINK, RTM_NEWLINK } from './link.ts';
import { type Message, messages } from './message.ts';
import { parseRoute, parseRule, type Route, RTM_DELROUTE, RTM_DELRULE, RTM_NEWROUTE, RTM_NEWRULE, type Rule } from './route.ts';
import { NetlinkSocket } from './socket.ts';

export type NetworkEvent =
  | { readonly kind: 'link'; readonly deleted: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly deleted: boolean; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly deleted: boolean; readonly route: Route }
  | { readonly kind: 'rule'; readonly deleted: boolean; readonly rule: Rule }
  /** Events were lost: list everything again. */
  | { readonly kind: 'overrun' };

export interface MonitorOptions {
  readonly onEvent: (event: NetworkEvent) => void;
  readonly onError?: (error: unknown) => void;
  readonly intervalMs?: number;
}

export interface Monitor {
  /** Reads what has arrived, now. */
  poll(): void;
  stop(): void;
}

// RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE as bits
const GROUPS = [1, 5, 7, 8, 9, 11, 19].reduce((mask, group) => mask | (1 << (group - 1)), 0);
const EAGAIN = 11;
const EINTR = 4;
const ENOBUFS = 105;
const ROUND_MAX = 256;

/** Watches the namespace this is called in. */
export function createMonitor(options: MonitorOptions): Monitor {
  const socket = new NetlinkSocket(GROUPS);
  const deliver = (event: NetworkEvent): void => {
    try {
      options.onEvent(event);
    } catch (e) {
      options.onError?.(e);
    }
  };
  const poll = (): void => {
    for (let i = 0; i < ROUND_MAX; i++) {
      const r = socket.poll();
      if ('data' in r) {
        for (const m of messages(r.data)) {
          const event = eventOf(m);
          if (event !== undefined) deliver(event);
        }
      } else if (r.errno === ENOBUFS) deliver({ kind: 'overrun' });
      else if (r.errno !== EINTR) {
        if (r.errno !== EAGAIN) options.onError?.(r.errno);
        return;
      }
    }
  };
  const timer = setInterval(poll, options.intervalMs ?? 250);
  return {
    poll,
    stop() {
      clearInterval(timer);
      socket.close();
    },
  };
}

function eventOf(m: Message): NetworkEvent | undefined {
  switch (m.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = m.payload[0] === 0 ? parseLink(m) : undefined; // other families: bridge chatter
      return link && { kind: 'link', deleted: m.type === RTM_DELLINK, link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = parseInterfaceAddress(m);
      return address && { kind: 'address', deleted: m.type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = parseRoute(m);
      return route && { kind: 'route', deleted: m.type === RTM_DELROUTE, route };
    }
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const rule = parseRule(m);
      return rule && { kind: 'rule', deleted: m.type === RTM_DELRULE, rule };
    }
    default:
      return undefined;
  }
}
