/**
 * A process that runs the kernels and tells its parent what they compute, and how fast: `node try_kernels.js WHAT`.
 *
 * - `bits`: what a small model computes, plain and fused, as V8 begins with every module.
 * - `width`: the same model fused, its module optimised whole; the tiles at 128 and, if V8 can, 256 bits; then, at 256, both modules optimised whole, and the model with each. What is wrong
 *   with V8's optimisation ends this process alone.
 */
import { readFileSync } from 'node:fs';
import { KernelMatrix } from '../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../compute/wasm/memory/kernel_memory.js';
import { kernelModuleUrl, type KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { matrixOf } from '../../compute/base/weight_matrix.js';
import { allowRelaxedSimd, optimiseSoon, optimisingAll, widenSimd } from '../../compute/wasm/memory/v8_flags.js';
import { tilesFor, timeTiles, type TimedTile } from './time_tiles.js';
import { trialDigest } from './trial_model.js';
import { LEAST_GAIN, type Told, type TrialWay } from './kernel_trial.js';

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: { readonly Module: new (bytes: Uint8Array) => object };

const WAYS: readonly TrialWay[] = ['plain', 'fused'];
/** Of a function, until V8 optimises it for the timing of tiles: a few products. */
const TILE_BUDGET = 2 ** 20;
/** As soon as may be. */
const MODEL_BUDGET = 1;

/** Waits until the parent has it: what follows may end this process. */
const tell = (told: Told): Promise<void> =>
  new Promise((resolve, reject) =>
    process.send!(told, (error: Error | null) => (error === null ? resolve() : reject(error))),
  );

async function tellBits(): Promise<void> {
  const tellModel = async (way: TrialWay): Promise<void> =>
    tell({ kind: 'digest', way, bits: 128, digest: await trialDigest({ fma: way === 'fused', tileRows: null }) });
  await tellModel('plain');
  const isFused = fuses();
  await tell({ kind: 'fuses', isFused });
  if (isFused) await tellModel('fused');
}

async function tellWidth(): Promise<void> {
  allowRelaxedSimd();
  await tellOptimised('fused', 128, null);
  optimiseSoon(TILE_BUDGET);
  const narrow = tilesOf(128);
  widenSimd();
  const tiles = [...narrow, ...tilesOf(256)];
  const times = timeTiles(tiles);
  for (const [i, { way, bits }] of tiles.entries()) await tell({ kind: 'tile', way, bits, ...times[i]! });
  if (times[0]!.us / times[WAYS.length]!.us < LEAST_GAIN) return;
  for (const way of WAYS) {
    const { rows } = times[tiles.findIndex((each) => each.way === way && each.bits === 256)]!;
    await tellOptimised(way, 256, rows);
  }
}

/** The model, after V8 has optimised its module whole. */
async function tellOptimised(way: TrialWay, bits: 128 | 256, tileRows: number | null): Promise<void> {
  optimisingAll(() => kernelsOf(way, `${bits} all`));
  optimiseSoon(MODEL_BUDGET);
  const settings = { ...kernelsOf(way, `${bits} model`), tileRows };
  await trialDigest(settings);
  await tell({ kind: 'digest', way, bits, digest: await trialDigest(settings) }); // the second time all of it is optimised
}

function tilesOf(bits: 128 | 256): { way: TrialWay; bits: 128 | 256; tiles: readonly TimedTile[] }[] {
  return WAYS.map((way) => ({ way, bits, tiles: tilesFor(kernelsOf(way, `${bits}`)) }));
}

/** A section of its own makes other bytes of a module, so that V8 compiles it anew, with the flags of now, instead of taking the code that it has. */
function kernelsOf(way: TrialWay, mark: string): Pick<KernelSettings, 'fma' | 'module'> {
  const fma = way === 'fused';
  const name = Buffer.from(mark);
  const section = Buffer.concat([Buffer.from([0, name.length + 1, name.length]), name]);
  return { fma, module: new WebAssembly.Module(Buffer.concat([readFileSync(kernelModuleUrl({ fma })), section])) };
}

/** −(1 + 2⁻¹¹) · 1 + (1 + 2⁻¹²)² is 2⁻²⁴, which the rounding of the square takes away. The zeros between change nothing. */
function fuses(): boolean {
  const memory = new KernelMemory(undefined, { fma: true, tileRows: null });
  const near = 1 + 2 ** -12;
  const [w, row] = [new Float32Array(64), new Float32Array(64)];
  [w[0], w[32]] = [-(1 + 2 ** -11), near];
  [row[0], row[32]] = [1, near];
  const weights = KernelMatrix.from(memory, matrixOf(w, 1, 64), 'f32');
  const [x, y] = [memory.allocate(4 * 64), memory.allocate(4 * 32)];
  memory.floats(x, 64).set(row);
  memory.kernels.linear(x, 1, weights.address, y, 32);
  return memory.floats(y, 1)[0] === 2 ** -24;
}

await (process.argv[2] === 'bits' ? tellBits() : tellWidth());
