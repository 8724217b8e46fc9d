/** Who exchanges bytes: our mesh, gloo and Open MPI. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { peerScript } from '../../lib/config/package_files.js';
import { LineProcess } from './engines/line_process.js';
import type { FoundPeers } from './found_peers.js';

/** Ranks that exchange. */
export interface ExchangeParty {
  readonly name: string;
  /** Bytes from each rank to each other; microseconds of each exchange, of the slowest rank. */
  exchange(bytes: number, iterations: number): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Where peers are found, and what ends them. */
export interface PeerPlace {
  readonly found: FoundPeers;
  /** Where what is compiled goes. */
  readonly dir: string;
  readonly ranks: number;
  readonly signal: AbortSignal;
}

/** A peer beside ours: sockets with sockets, memory with memory. */
export const BESIDE: Readonly<Record<string, 'ws' | 'threads'>> = {
  gloo: 'ws',
  'Open MPI, TCP': 'ws',
  'Open MPI, memory': 'threads',
};

/** How to start those that this machine has. */
export async function peersAt({ found, dir, ranks, signal }: PeerPlace): Promise<(() => Promise<ExchangeParty>)[]> {
  const starts: (() => Promise<ExchangeParty>)[] = [];
  if (found.names.has('gloo')) starts.push(() => startGloo(found.python, ranks, signal));
  if (found.names.has('mpi')) {
    const program = await compileAlltoall(dir, signal);
    const start = (name: string, btl: string) => () => Promise.resolve(mpiParty(name, btl, { program, ranks, signal }));
    starts.push(start('Open MPI, TCP', 'tcp,self'), start('Open MPI, memory', 'vader,self'));
  }
  return starts;
}

/** The program of exchange_process.ts; `maxBytes`: of a frame. @throws BenchError */
export async function startOurs(
  name: string,
  { node, transport, ranks, maxBytes }: OurRanks,
  signal: AbortSignal,
): Promise<LineProcess> {
  const file = fileURLToPath(new URL('exchange_process.js', import.meta.url));
  const line = { command: node, args: [file, transport, String(ranks), String(maxBytes)] };
  return (await LineProcess.start(name, line, signal)).process;
}

/** What {@link startOurs} starts. */
export interface OurRanks {
  readonly node: string;
  readonly transport: 'ws' | 'threads';
  readonly ranks: number;
  readonly maxBytes: number;
}

/** A program that is told by orders. */
export const toldByOrders = (name: string, process: LineProcess): ExchangeParty => ({
  name,
  exchange: async (bytes, iterations) =>
    ((await process.ask({ op: 'exchange', bytes, iterations })) as { readonly us: readonly number[] }).us,
  close: () => process.close(),
});

async function startGloo(python: string, ranks: number, signal: AbortSignal): Promise<ExchangeParty> {
  const line = { command: python, args: [peerScript('gloo_peer.py'), String(ranks)] };
  return toldByOrders('gloo', (await LineProcess.start('gloo', line, signal)).process);
}

async function compileAlltoall(dir: string, signal: AbortSignal): Promise<string> {
  const program = join(dir, 'alltoall');
  await promisify(execFile)('mpicc', ['-O2', '-o', program, peerScript('alltoall.c')], { signal });
  return program;
}

interface MpiRun {
  readonly program: string;
  readonly ranks: number;
  readonly signal: AbortSignal;
}

/** One run of the program per turn; it warms itself up. With more ranks than cores they yield, or each would wait out the other's turn. */
function mpiParty(name: string, btl: string, { program, ranks, signal }: MpiRun): ExchangeParty {
  const mca = ['--mca', 'btl', btl, '--mca', 'mpi_yield_when_idle', '1'];
  const mpirun = ['--allow-run-as-root', '--oversubscribe', '-np', String(ranks), ...mca, program];
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
