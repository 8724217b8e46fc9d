/** A call of a hierarchical route: two rounds, of which the second hands on what came in the first. */
import type { Pending } from '../contract/all_to_all_contract.js';
import { CommError } from '../../base/errors.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Gathered, Round, RoundFrames, RoundRows } from '../exchange/round.js';
import type { Rank } from '../../../base/ids.js';

/** Deadlines that the second hop waits: whoever forwards may have waited one itself. */
const RELAY_PATIENCE = 2;

/** What both rounds send, and what comes of them. */
export interface TwoHops<First, Second, Result> {
  readonly first: Round<First>;
  readonly second: Pick<RoundFrames, 'phase' | 'form'>;
  /** The peers of the second round; asked when it is near, since peers may be masked until then. */
  readonly nextPeers: () => readonly Rank[];
  /** What the second round sends. @throws CommError PROTOCOL when the first brought what can't be. */
  readonly relay: (gathered: Gathered<First>) => RoundRows<Second>;
  readonly finish: (gathered: Gathered<Second>) => Result;
  /** The payload of a frame of the second round that says that this rank gives the call up, because `failed` or itself failed. */
  readonly failure: (failed: Rank) => Uint8Array;
}

/** Sends the first round, checked before; the hook waits for it, sends the second one and waits again. */
export function startTwoHops<First, Second, Result>(
  exchange: Exchange,
  { first, second, nextPeers, relay, finish, failure }: TwoHops<First, Second, Result>,
): Pending<Result> {
  const next = { ...second, tag: first.tag, signal: first.signal };
  /** Tells those who would wait for this rank which rank's failure ends the call: they can't see it themselves. */
  const giveUp = (waiting: Iterable<Rank>, error: unknown): void => {
    if (!(error instanceof CommError) || error.code === 'ABORTED' || error.code === 'CLOSED') return;
    exchange.tell({ ...next, peers: [...waiting] }, failure(error.rank ?? exchange.mesh.rank));
  };
  const send = (): (() => Promise<Gathered<First>>) => {
    try {
      return exchange.send(first);
    } catch (error) {
      giveUp(nextPeers(), error);
      throw error;
    }
  };
  const gather = send();
  const hook = async (): Promise<Result> => {
    const peers = nextPeers();
    const unsent = new Set(peers);
    try {
      const gathered = await gather();
      const startMs = gathered.arrivedMs;
      const round = { ...next, ...relay(gathered), peers, unsent, startMs, patience: RELAY_PATIENCE };
      return finish(await exchange.start(round)());
    } catch (error) {
      giveUp(unsent, error);
      throw error;
    }
  };
  return { hook };
}
