/** What the benchmark knows of rows on the wire. */
import { combineBytes, dispatchBytes, wireRowBytes, type WireDtype } from '../../../comm/index.js';
import { wireFormsOf } from '../../../comm/all_to_all/contract/wire_forms.js';
import { wireNamed } from '../../../lib/plugins/codecs.js';
import type { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';

/** How rows travel to the experts and back: names of dtypes, or of codecs of plug-ins. */
export interface WireDtypes {
  readonly dispatch: string;
  readonly combine: string;
}

/** The two directions in which rows travel. */
export type TrafficPhase = keyof WireDtypes;

/** DeepEP's choice: fp8 goes out, bf16 comes back; every other dtype goes both ways. */
export const combineDtypeFor = (dispatch: string): string => (dispatch === 'fp8' ? 'bf16' : dispatch);

/** Bytes of a frame with `numRows` rows in f32, header included: what other dtypes are compared with. */
export function f32FrameBytes(phase: TrafficPhase, numRows: number, hidden: number, numTopk: number): number {
  return phase === 'dispatch'
    ? dispatchBytes(numRows, { hidden, numTopk, reduce: 'rank' })
    : combineBytes(numRows, hidden);
}

/** Bytes of a row on the wire. @throws CommError CODEC_FAILED */
export const rowBytesOf = (name: string, registry: PluginRegistry, hidden: number): number =>
  wireRowBytes(wireFormsOf(wireNamed({ dispatch: name, combine: name }, registry), hidden).dispatchDtype, hidden);

/** Largest error of a value in [−0.5, 0.5) after one way in each dtype. */
const MAX_ERROR: Readonly<Record<WireDtype, number>> = { f32: 0, bf16: 2 ** -10, fp8: 2 ** -5, int8: 2 ** -8 };
/** Of a codec's nobody knows. */
const CODEC_ERROR = 0.25;
const errorOf = (name: string): number => (name in MAX_ERROR ? MAX_ERROR[name as WireDtype] : CODEC_ERROR);
/** Of gate weights that should sum to 1, and of adding in float32. */
const SUM_ERROR = 1e-5;

/** How far a combined value may be from the dispatched one: a row comes back in parts, each rounded. */
export function tolerance({ dispatch, combine }: WireDtypes, numParts: number): number {
  return errorOf(dispatch) + numParts * errorOf(combine) + SUM_ERROR;
}
