/** The section `machine`: memory bandwidth and products, ours beside torch's. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { peerScript } from '../../lib/config/package_files.js';
import { flopsOf } from '../compute/batch_figures.js';
import { LineProcess } from './engines/line_process.js';
import { startStream, type Places } from './engines/start.js';
import { withAll } from './measure_generation.js';
import type { PeersOptions } from './options.js';
import { pairedRatio, spreadOf, type Ratio, type Spread } from './ratios.js';

/** One yardstick on so many cores, in 10⁹ per second. */
export interface MachineRow {
  readonly what: 'read GB/s' | 'f32 product GFLOP/s' | 'bf16 product GFLOP/s';
  readonly cores: number;
  readonly ours: Spread;
  readonly torch: Spread;
  readonly ratio: Ratio;
}

/** Rows, inner and columns: a prompt's worth of rows against a matrix that stays in the cache. */
const PRODUCT: readonly [number, number, number] = [512, 2048, 2048];
const DTYPES = ['f32', 'bf16'] as const;

interface Beside {
  readonly ours: number[];
  readonly torch: number[];
}

/** Reading on each number of cores; products on one core. */
export async function benchMachine(
  { cores: counts, rounds }: PeersOptions,
  places: Pick<Places, 'node' | 'python' | 'pin'>,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<MachineRow[]> {
  const rows: MachineRow[] = [];
  for (const cores of counts) {
    onProgress(`machine: ${cores} ${cores === 1 ? 'core' : 'cores'}`);
    const starts = [() => startStream(places, cores, signal), () => startTorch(places, cores, signal)];
    await withAll(starts, async ([stream, torch]) => {
      const read: Beside = { ours: [], torch: [] };
      await bandwidthOf(torch!);
      for (let round = 0; round < rounds; round++) {
        read.ours.push(await bandwidthOf(stream!));
        read.torch.push(await bandwidthOf(torch!));
      }
      rows.push(rowOf('read GB/s', cores, read));
      if (cores === 1) rows.push(...(await products(torch!, places, rounds, signal)));
    });
  }
  return rows;
}

const rowOf = (what: MachineRow['what'], cores: number, { ours, torch }: Beside): MachineRow => ({
  ...{
    what,
    cores,
    ours: spreadOf(ours),
    torch: spreadOf(torch),
    ratio: pairedRatio(torch.map(timeOf), ours.map(timeOf)),
  },
});

const timeOf = (speed: number): number => 1 / speed;

async function bandwidthOf(party: LineProcess): Promise<number> {
  const { ms, bytes } = (await party.ask({ op: 'read' })) as { readonly ms: number; readonly bytes: number };
  return bytes / ms / 1e6;
}

async function products(
  torch: LineProcess,
  places: Pick<Places, 'node' | 'pin'>,
  rounds: number,
  signal: AbortSignal,
): Promise<MachineRow[]> {
  const found = new Map<(typeof DTYPES)[number], Beside>(DTYPES.map((dtype) => [dtype, { ours: [], torch: [] }]));
  const theirs = async (dtype: string): Promise<number> => {
    const { ms } = (await torch.ask({ op: 'matmul', shape: PRODUCT, dtype })) as { readonly ms: number };
    return flopsOf(PRODUCT) / ms / 1e6;
  };
  for (const dtype of DTYPES) await theirs(dtype);
  for (let round = 0; round < rounds; round++) {
    const ours = await ourProducts(places, signal);
    for (const [dtype, { ours: own, torch: others }] of found) {
      own.push(ours.get(dtype)!);
      others.push(await theirs(dtype));
    }
  }
  return Array.from(found, ([dtype, both]) => rowOf(`${dtype} product GFLOP/s`, 1, both));
}

/** GFLOP/s by dtype: what `bench compute` measures, with next to nothing else. */
async function ourProducts(
  { node, pin }: Pick<Places, 'node' | 'pin'>,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const cli = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
  const experts = ['--hidden', '256', '--intermediate', '256', '--experts', '2', '--topk', '1', '--tokens', '1'];
  const asked = [
    '--dtypes',
    DTYPES.join(','),
    '--matmul',
    PRODUCT.join(','),
    '--decode-tokens',
    '0',
    '--repeats',
    '5',
    '--json',
  ];
  const args = [cli, 'bench', 'compute', ...experts, ...asked];
  const line = pin.on(1, node, args);
  const { stdout } = await promisify(execFile)(line.command, line.args, { signal });
  const { dtypes } = JSON.parse(stdout) as {
    readonly dtypes: readonly { readonly dtype: string; readonly matmul_gflops: number }[];
  };
  return new Map(dtypes.map(({ dtype, matmul_gflops: gflops }) => [dtype, gflops]));
}

async function startTorch(
  { python, pin }: Pick<Places, 'python' | 'pin'>,
  cores: number,
  signal: AbortSignal,
): Promise<LineProcess> {
  const args = [peerScript('torch_peer.py'), String(cores)];
  return (await LineProcess.start('torch', pin.on(cores, python, args), signal)).process;
}
