// Whether what DSR adds to a packet fits between the nodes. Where the smallest packet that everybody must be able to send does not fit, clients
// would be told a size that they may not believe, and lose packets in silence: SNAT is used instead. Made by the compiler, asked by frontends.ts.
import type { IpFamily } from '@axoneme/model';
import type { ServiceConfig } from './inputs.ts';

export interface DsrRoom {
  /** Why DSR cannot be; undefined if it can. */
  refused(family: IpFamily, dispatch: ServiceConfig['dsrDispatch']): string | undefined;
  /** Equal for equal answers. */
  readonly text: string;
}

/** Bytes: the option or extension header, or the header around the packet. */
const added = { opt: { 4: 8, 6: 24 }, ipip: { 4: 20, 6: 40 } } as const;
/** What every host must accept (IPv4), and every link must carry (IPv6). */
const least = { 4: 576, 6: 1280 } as const;

/** `pathMtu` 0: not known, and nothing is refused. */
export function createDsrRoom(pathMtu: number): DsrRoom {
  const refused: DsrRoom['refused'] = (family, dispatch) =>
    pathMtu === 0 || pathMtu - added[dispatch][family] >= least[family]
      ? undefined
      : `IPv${family} packets of ${least[family]} bytes and the ${added[dispatch][family]} that DSR adds do not fit between nodes (${pathMtu})`;
  const all = ([4, 6] as const).flatMap((family) => (['opt', 'ipip'] as const).map((dispatch) => refused(family, dispatch) ?? ''));
  return { refused, text: all.join(' ') };
}
