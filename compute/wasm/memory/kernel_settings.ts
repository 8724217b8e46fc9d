/** How the kernels of a rank compute: decided once, before its first memory is made, and the same for all of its memories. */
import { readFileSync } from 'node:fs';
import { allowRelaxedSimd } from './v8_flags.js';

/** Types of activations beside weights of whole numbers, with a scale for each 32 of a row; kernels know them by their places. */
export const ACTIVATIONS = ['f32', 'int16', 'int8'] as const;
/** One of {@link ACTIVATIONS}. */
export type Activations = (typeof ACTIVATIONS)[number];

/** What a module of kernels is, and what it is told when it is made. */
export interface KernelSettings {
  /** Sums of products are rounded once per product instead of twice: other bits, the same in every tile and on every processor that fuses. */
  readonly fma: boolean;
  /** Rows of activations that a tile of a product takes at once: the same bits, in another time. Null: as the module thinks best. */
  readonly tileRows: number | null;
  /** What products with int8, int4 and uint4 weights round rows of activations to, to compute in whole numbers where most of the time goes: other results. Default f32: nothing. */
  readonly activations?: Activations;
  /** The module itself, where it was compiled already. Default: what `fma` says. */
  readonly module?: object;
}

/** Multiplies, then adds, on every processor: what tests compare with. */
export const PLAIN_KERNELS: KernelSettings = { fma: false, tileRows: null };

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: { readonly Module: new (bytes: Uint8Array) => object };

/** Where a module of kernels is. */
export const kernelModuleUrl = ({ fma }: Pick<KernelSettings, 'fma'>): URL =>
  new URL(`../${fma ? 'kernels_fma' : 'kernels'}.wasm`, import.meta.url);

/** A WebAssembly.Module. V8 shares the code of those that have the same bytes. */
export function compileKernels(settings: Pick<KernelSettings, 'fma' | 'module'>): object {
  if (settings.module !== undefined) return settings.module;
  if (settings.fma) allowRelaxedSimd();
  return new WebAssembly.Module(readFileSync(kernelModuleUrl(settings)));
}
