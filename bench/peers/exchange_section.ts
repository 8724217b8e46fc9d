/** The section `exchange`, first part: bytes from each rank to each other, over our mesh, gloo and Open MPI. */
import { median } from '../base/machine.js';
import { BESIDE, peersAt, startOurs, toldByOrders, type ExchangeParty } from './exchange_parties.js';
import type { FoundPeers } from './found_peers.js';
import { withAll } from './measure_generation.js';
import type { PeersOptions } from './options.js';
import { pairedRatio, spreadOf, type Ratio, type Spread } from './ratios.js';

/** Messages of one size. */
export interface ExchangeRow {
  readonly bytes: number;
  /** Microseconds of an exchange by party, ours among them: the median of a round's exchanges. */
  readonly us: Readonly<Record<string, Spread>>;
  /** A peer's time over ours, each beside what is most like it. */
  readonly ratios: Readonly<Record<string, Ratio>>;
}

/** Processes, or threads. */
const RANKS = 2;
const OURS = { ws: 'ours, WebSockets', threads: 'ours, threads' } as const;

/** One row for each size. @throws BenchError */
export async function benchExchange(
  options: PeersOptions,
  found: FoundPeers,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<ExchangeRow[]> {
  const maxBytes = Math.max(...options.messages);
  const ours = (['ws', 'threads'] as const).map((transport) => async () => {
    const ranks = { node: options.node, transport, ranks: RANKS, maxBytes };
    return toldByOrders(OURS[transport], await startOurs(OURS[transport], ranks, signal));
  });
  const peers = await peersAt({ found, dir: options.dir, ranks: RANKS, signal });
  return withAll([...ours, ...peers], async (parties) => {
    const rows: ExchangeRow[] = [];
    for (const bytes of options.messages) {
      onProgress(`exchange: ${bytes} bytes`);
      rows.push(rowOf(bytes, await measure(parties, bytes, options.rounds, signal)));
    }
    return rows;
  });
}

/** Enough for a median, few enough for short turns. */
export const iterationsOf = (bytes: number): number => Math.max(9, Math.min(201, Math.floor(2 ** 24 / bytes)));

async function measure(
  parties: readonly ExchangeParty[],
  bytes: number,
  rounds: number,
  signal: AbortSignal,
): Promise<Map<string, number[]>> {
  const iterations = iterationsOf(bytes);
  const times = new Map(parties.map(({ name }) => [name, [] as number[]]));
  for (const party of parties) await party.exchange(bytes, iterations); // warms up
  for (let round = 0; round < rounds; round++) {
    for (const party of round % 2 === 0 ? parties : parties.toReversed()) {
      signal.throwIfAborted();
      times.get(party.name)!.push(median(await party.exchange(bytes, iterations)));
    }
  }
  return times;
}

function rowOf(bytes: number, times: ReadonlyMap<string, readonly number[]>): ExchangeRow {
  const peers = Array.from(times.keys()).filter((name) => Object.hasOwn(BESIDE, name));
  const beside = (name: string): readonly number[] => times.get(OURS[BESIDE[name]!])!;
  return {
    bytes,
    us: Object.fromEntries(Array.from(times, ([name, us]) => [name, spreadOf(us)])),
    ratios: Object.fromEntries(peers.map((name) => [name, pairedRatio(times.get(name)!, beside(name))])),
  };
}
