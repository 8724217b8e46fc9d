/** The section `exchange`, second part: a dispatch and a combine of tokens, beside what moves as many bytes over raw TCP of Node, gloo and Open MPI. */
import type { Workload } from '../dispatch/base/orders.js';
import { median } from '../base/machine.js';
import { BESIDE, peersAt, startOurs, type ExchangeParty } from './exchange_parties.js';
import { iterationsOf } from './exchange_section.js';
import type { LineProcess } from './engines/line_process.js';
import type { FoundPeers } from './found_peers.js';
import { withAll } from './measure_generation.js';
import type { PeersOptions } from './options.js';
import { pairedRatio, spreadOf, type Ratio, type Spread } from './ratios.js';

/** A phase of ours, beside everybody else who moves its bytes. */
export interface TokenRow {
  readonly ranks: number;
  /** Per rank. */
  readonly tokens: number;
  readonly transport: 'ws' | 'threads';
  readonly phase: 'dispatch' | 'combine';
  /** From each rank to each other in the dispatch, on average: what peers move, for the combine too, which is some hundredths less. */
  readonly bytes: number;
  readonly us: Spread;
  /** Microseconds of others. */
  readonly others: Readonly<Record<string, Spread>>;
  /** Their time over ours. */
  readonly ratios: Readonly<Record<string, Ratio>>;
}

/** A batch as `bench dispatch` has it by default. */
const SHAPE = { hidden: 1024, topk: 8, experts: 64 } as const;
const RAW = 'raw Node TCP';
const TRANSPORTS = ['ws', 'threads'] as const;
const PHASES = ['dispatch', 'combine'] as const;

/** Microseconds by round, of each phase. */
type PhaseTimes = Readonly<Record<(typeof PHASES)[number], number[]>>;

/** Rows for each number of ranks and tokens. @throws BenchError */
export async function benchTokens(
  options: PeersOptions,
  found: FoundPeers,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<TokenRow[]> {
  const rows: TokenRow[] = [];
  const maxBytes = Math.max(...options.tokens) * (4 * SHAPE.hidden + 6 * SHAPE.topk);
  for (const ranks of options.exchangeRanks) {
    const ours = TRANSPORTS.map(
      (transport) => () => startOurs(transport, { node: options.node, transport, ranks, maxBytes }, signal),
    );
    const peers = await peersAt({ found, dir: options.dir, ranks, signal });
    await withAll(ours, (processes) =>
      withAll(peers, async (parties) => {
        for (const tokens of options.tokens) {
          onProgress(`exchange: ${tokens} tokens of ${ranks} ranks`);
          rows.push(...(await measure({ ranks, tokens, processes, parties, options, signal })));
        }
      }),
    );
  }
  return rows;
}

interface Turns {
  readonly ranks: number;
  readonly tokens: number;
  /** By {@link TRANSPORTS}. */
  readonly processes: readonly LineProcess[];
  readonly parties: readonly ExchangeParty[];
  readonly options: PeersOptions;
  readonly signal: AbortSignal;
}

async function measure({ ranks, tokens, processes, parties, options, signal }: Turns): Promise<TokenRow[]> {
  const wire = { dispatch: 'f32', combine: 'f32' } as const;
  const workload: Workload = { ...SHAPE, tokens, alpha: 0, seed: options.seed, wire, isTraced: false };
  const answers = [];
  for (const process of processes) answers.push(await process.ask({ op: 'prepare', workload }));
  const bytes = (answers[0] as { readonly bytesPerPair: number }).bytesPerPair;
  const iterations = iterationsOf(bytes * (ranks - 1));
  const own = TRANSPORTS.map((): PhaseTimes => ({ dispatch: [], combine: [] }));
  const raw: PhaseTimes = { dispatch: [], combine: [] };
  const theirs = parties.map((): number[] => []);
  const turns = [
    ...processes.map((process, i) => () => ask(process, 'tokens', iterations, own[i]!)),
    () => ask(processes[0]!, 'raw', iterations, raw),
    ...parties.map((party, i) => async () => void theirs[i]!.push(median(await party.exchange(bytes, iterations)))),
  ];
  // The first round warms up.
  for (let round = 0; round <= options.rounds; round++) {
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
      signal.throwIfAborted();
      await turn();
    }
    if (round > 0) continue;
    for (const times of [...[...own, raw].flatMap(Object.values<number[]>), ...theirs]) times.length = 0;
  }
  return TRANSPORTS.flatMap((transport, i) =>
    PHASES.map((phase) => {
      const beside = parties.flatMap(({ name }, j) =>
        BESIDE[name] === transport ? [[name, theirs[j]!] as const] : [],
      );
      const others = transport === 'ws' ? [[RAW, raw[phase]] as const, ...beside] : beside;
      const us = own[i]![phase];
      return {
        ...{ ranks, tokens, transport, phase, bytes, us: spreadOf(us) },
        others: Object.fromEntries(others.map(([name, times]) => [name, spreadOf(times)])),
        ratios: Object.fromEntries(others.map(([name, times]) => [name, pairedRatio(times, us)])),
      };
    }),
  );
}

async function ask(process: LineProcess, op: 'tokens' | 'raw', iterations: number, times: PhaseTimes): Promise<void> {
  const { us } = (await process.ask({ op, iterations })) as {
    readonly us: Readonly<Record<string, readonly number[]>>;
  };
  for (const phase of PHASES) times[phase].push(median(us[phase]!));
}
