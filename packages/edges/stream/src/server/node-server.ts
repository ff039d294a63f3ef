// The operator's three ports, each with the trust it needs:
//   node      client certificate of a node required; serves NodeProtocol, and every stream belongs to the node the certificate names;
//   bootstrap no client certificate (a node without one comes here first); serves Sign, which proves the caller by token;
//   admin     client certificate with the admin role required; serves the command line tool.
// Three ports rather than one that "requests" certificates: TLS itself then refuses strangers before any of our code runs.

import type { SignRequest, SignResponse } from '@axoneme/proto';
import { AdminServiceDefinition, BootstrapServiceDefinition, NodeProtocolServiceDefinition } from '@axoneme/proto';
import { AppError, type Health, type Living, type NodeName, type Result } from '@axoneme/std';
import type { ServerDuplexStream, ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import { serviceOf } from '../wire.ts';
import { type AdminHandlers, adminImplementation } from './admin.ts';
import { createHub, type Hub, type HubConfig, type HubDeps, hubDefaults } from './hub.ts';
import { createTlsSource, type Listener, listen, type ServerTls } from './listener.ts';
import type { PeerNames } from './peer.ts';
import { createRelay, type RelayConfig, relayDefaults } from './relay.ts';
import { createReports, type ReportHandler } from './report.ts';

export interface NodeServerDeps extends HubDeps {
  readonly tls: ServerTls;
  /** The node a certificate speaks for. */
  readonly nodeOf: (peer: PeerNames) => Result<NodeName>;
  /** Whether a certificate may use the admin service. */
  readonly isAdmin: (peer: PeerNames) => boolean;
  readonly report: ReportHandler;
  /** Issues a node certificate; throw AppError `stream/unauthenticated` for a bad token. */
  readonly sign: (request: SignRequest) => Promise<SignResponse>;
  readonly admin: AdminHandlers;
}

export interface NodeServerConfig {
  readonly host: string;
  /** 0 takes a free port, undefined leaves the service out. */
  readonly ports: { readonly node: number; readonly bootstrap?: number | undefined; readonly admin?: number | undefined };
  readonly operatorId: string;
  readonly hub?: Partial<HubConfig>;
  readonly relay?: Partial<RelayConfig>;
}

export interface NodeServer extends Living {
  readonly hub: Hub;
  /** Lines of a node's answer to `query`. */
  relay(node: NodeName, query: string, limit: number): AsyncIterable<string>;
  /** Whether anybody watches flows. */
  setWantFlows(want: boolean): void;
  /** New certificate or CA bundle for new connections. */
  updateTls(tls: ServerTls): void;
  /** Ports in use once started. */
  ports(): { readonly node: number; readonly bootstrap: number; readonly admin: number };
}

type Duplex = ServerDuplexStream<unknown, unknown>;

/** Runs `serve` for the node of the peer's certificate; everybody else gets an error. */
function forNode(nodeOf: NodeServerDeps['nodeOf'], serve: (node: NodeName, call: Duplex) => void): (call: Duplex) => void {
  return (call) => {
    // A stream without listener for errors would end the process.
    call.on('error', () => undefined);
    const peer = call.getAuthContext().sslPeerCertificate;
    const node = peer === undefined ? undefined : nodeOf(peer);
    try {
      if (node === undefined) throw new AppError({ code: 'stream/unauthenticated', message: 'a client certificate is needed' });
      if (!node.ok) throw new AppError({ code: 'stream/forbidden', message: node.error.message });
      serve(node.value, call);
    } catch (e) {
      call.emit('error', toStatus(e));
    }
  };
}

function signImplementation(sign: NodeServerDeps['sign']): UntypedServiceImplementation {
  return {
    sign: (call: ServerUnaryCall<SignRequest, SignResponse>, done: sendUnaryData<SignResponse>) => {
      sign(call.request).then(
        (answer) => done(null, answer),
        (e: unknown) => done(toStatus(e)),
      );
    },
  };
}

export function createNodeServer(d: NodeServerDeps, config: NodeServerConfig): NodeServer {
  const hub = createHub(d, { ...hubDefaults, operatorId: config.operatorId, ...config.hub });
  const reports = createReports(d.report, d.log);
  const relay = createRelay(d.clock, { ...relayDefaults, ...config.relay });
  const tls = createTlsSource(d.tls);
  const open: Partial<Record<'node' | 'bootstrap' | 'admin', Listener>> = {};
  let health: Health = { state: 'stopped', reason: 'not started' };

  const nodeHandlers: UntypedServiceImplementation = {
    sync: forNode(d.nodeOf, (node, call) => hub.accept(node, call as never)),
    report: forNode(d.nodeOf, (node, call) => reports.accept(node, call as never)),
    relay: forNode(d.nodeOf, (node, call) => relay.accept(node, call as never)),
  };
  const start = async (signal: AbortSignal): Promise<void> => {
    const { node, bootstrap, admin } = config.ports;
    const on = (port: number, requireClientCertificate: boolean) => ({ host: config.host, port, requireClientCertificate });
    open.node = await listen([{ definition: serviceOf(NodeProtocolServiceDefinition), handlers: nodeHandlers }], tls, on(node, true));
    if (bootstrap !== undefined) {
      const service = { definition: serviceOf(BootstrapServiceDefinition), handlers: signImplementation(d.sign) };
      open.bootstrap = await listen([service], tls, on(bootstrap, false));
    }
    if (admin !== undefined) {
      const service = { definition: serviceOf(AdminServiceDefinition), handlers: adminImplementation(d.admin, d.isAdmin, d.log) };
      open.admin = await listen([service], tls, on(admin, true));
    }
    hub.run(signal);
    health = { state: 'ok' };
    signal.addEventListener('abort', () => {
      health = { state: 'stopped', reason: 'shut down' };
      for (const l of Object.values(open)) l.close();
    });
  };
  return {
    name: 'node-server',
    hub,
    relay: relay.ask,
    setWantFlows: reports.setWantFlows,
    updateTls: tls.update,
    health: () => health,
    ports: () => ({ node: open.node?.port ?? 0, bootstrap: open.bootstrap?.port ?? 0, admin: open.admin?.port ?? 0 }),
    async start(signal) {
      try {
        await start(signal);
      } catch (e) {
        for (const l of Object.values(open)) l.close();
        throw e;
      }
    },
  };
}
