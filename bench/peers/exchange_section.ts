/** The section `exchange`: bytes from each rank to each other, over our mesh, gloo and Open MPI. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { peerScript } from '../../lib/config/package_files.js';
import { median } from '../base/machine.js';
import { LineProcess } from './engines/line_process.js';
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

interface Party {
  readonly name: string;
  /** Microseconds of each exchange. */
  exchange(bytes: number, iterations: number): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Processes, or threads. */
const RANKS = 2;
/** A peer beside ours: sockets with sockets, memory with memory. */
const BESIDE: Readonly<Record<string, string>> = {
  gloo: 'ours, WebSockets',
  'Open MPI, TCP': 'ours, WebSockets',
  'Open MPI, memory': 'ours, threads',
};

/** One row for each size. @throws BenchError */
export async function benchExchange(
  options: PeersOptions,
  found: FoundPeers,
  node: string,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<ExchangeRow[]> {
  const most = Math.max(...options.messages);
  const starts: (() => Promise<Party>)[] = [
    () => startOurs('ours, WebSockets', 'ws', node, most, signal),
    () => startOurs('ours, threads', 'threads', node, most, signal),
  ];
  if (found.names.has('gloo')) starts.push(() => startGloo(found.python, signal));
  if (found.names.has('mpi')) {
    const program = await compileAlltoall(options.dir, signal);
    starts.push(() => Promise.resolve(mpiParty('Open MPI, TCP', 'tcp,self', program, signal)));
    starts.push(() => Promise.resolve(mpiParty('Open MPI, memory', 'vader,self', program, signal)));
  }
  return withAll(starts, async (parties) => {
    const rows: ExchangeRow[] = [];
    for (const bytes of options.messages) {
      onProgress(`exchange: ${bytes} bytes`);
      rows.push(rowOf(bytes, await measure(parties, bytes, options.rounds, signal)));
    }
    return rows;
  });
}

/** Enough for a median, few enough for short turns. */
const iterationsOf = (bytes: number): number => Math.max(9, Math.min(201, Math.floor(2 ** 24 / bytes)));

async function measure(
  parties: readonly Party[],
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
  return {
    bytes,
    us: Object.fromEntries(Array.from(times, ([name, us]) => [name, spreadOf(us)])),
    ratios: Object.fromEntries(peers.map((name) => [name, pairedRatio(times.get(name)!, times.get(BESIDE[name]!)!)])),
  };
}

const orders = (name: string, process: LineProcess): Party => ({
  name,
  exchange: async (bytes, iterations) =>
    ((await process.ask({ op: 'exchange', bytes, iterations })) as { readonly us: readonly number[] }).us,
  close: () => process.close(),
});

async function startOurs(
  name: string,
  transport: string,
  node: string,
  most: number,
  signal: AbortSignal,
): Promise<Party> {
  const file = fileURLToPath(new URL('exchange_process.js', import.meta.url));
  const line = { command: node, args: [file, transport, String(RANKS), String(most)] };
  return orders(name, (await LineProcess.start(name, line, signal)).process);
}

async function startGloo(python: string, signal: AbortSignal): Promise<Party> {
  const line = { command: python, args: [peerScript('gloo_peer.py'), String(RANKS)] };
  return orders('gloo', (await LineProcess.start('gloo', line, signal)).process);
}

async function compileAlltoall(dir: string, signal: AbortSignal): Promise<string> {
  const program = join(dir, 'alltoall');
  await promisify(execFile)('mpicc', ['-O2', '-o', program, peerScript('alltoall.c')], { signal });
  return program;
}

/** One run of the program per turn; it warms itself up. */
function mpiParty(name: string, transports: string, program: string, signal: AbortSignal): Party {
  const mpirun = ['--allow-run-as-root', '--oversubscribe', '-np', String(RANKS), '--mca', 'btl', transports, program];
  return {
    name,
    async exchange(bytes, iterations) {
      const { stdout } = await promisify(execFile)('mpirun', [...mpirun, String(bytes), String(iterations)], {
        signal,
      });
      return (JSON.parse(stdout) as { readonly us: readonly number[] }).us;
    },
    close: () => Promise.resolve(),
  };
}
