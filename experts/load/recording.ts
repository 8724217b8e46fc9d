/**
 * Recordings of what gates chose: gzip-compressed lines of JSON, a header and then one record a line. Here: what the lines say, and writing them. Pure.
 * Shape suffixes: L MoE layers, E logical experts, K choices per token.
 * Why: docs/decisions/measuring.md#a-recording-says-which-placement-ran
 */
import { shortFloat } from '../../base/float_rows.js';
import { countsOf, mostOf, type ExpertCounts } from '../placement/expert_counts.js';

/** stat: sums per window of steps. per_pass: one record per step. per_token: the experts of each token. */
export const RECORD_MODES = ['stat', 'per_pass', 'per_token'] as const;
/** One of {@link RECORD_MODES}. */
export type RecordMode = (typeof RECORD_MODES)[number];

/** What the first line of a recording says. */
export interface RecordingHeader {
  readonly mode: RecordMode;
  /** Name of the model's folder. */
  readonly model: string;
  readonly numLayers: number;
  /** A list only where layers differ. */
  readonly numExperts: ExpertCounts;
  readonly numTopk: number;
  /** Program and version that wrote it: 'expertwire 0.1.0'. */
  readonly createdBy: string;
  /** Steps that a record of `stat` sums up; fewer where the placement changed. Absent in recordings of format version 1. */
  readonly windowSize?: number;
  /** What placements are recorded for; absent: none are. */
  readonly slots?: RecordedSlots;
  /** Of `per_token`: tokens may have router logits. Default false. */
  readonly hasRouterLogits?: boolean;
}

/** How many ranks and slots the first recorded placement has. */
export interface RecordedSlots {
  readonly numRanks: number;
  /** Of all ranks, per layer. */
  readonly numSlots: number;
  /** That later ones have at most, where ranks come and go. Default: as many. */
  readonly maxSlots?: number;
}

/** Which placement ran from here on: the first names every layer, later ones those that changed. */
export interface PlacementRecord {
  /** The first step that ran with it. */
  readonly step: number;
  readonly version: number;
  /** As many as there were until then, at most at a time. Default: as the header says. */
  readonly numRanks?: number;
  /** [slots] the expert in each slot, −1 = empty, also on ranks that were lost. */
  readonly layers: readonly { readonly moeLayer: number; readonly phy2log: Int32Array }[];
}

/** Of `stat` and `per_pass`. */
export interface LoadRecord {
  /** The first of its steps. */
  readonly step: number;
  /** 1 with `per_pass`. */
  readonly numSteps: number;
  /** Tokens that these steps computed, on all ranks. */
  readonly numTokens: number;
  /** Tokens routed to each expert, after masking, summed over ranks: [L][E]. */
  readonly load_LE: readonly ArrayLike<number>[];
}

/** Of `per_token`. A token that was computed again after a loss is there once. */
export interface TokenRecord {
  readonly step: number;
  /** Requests are numbered in the order in which the engine got them, from 0. */
  readonly request: number;
  /** In the sequence of prompt and output, from 0. */
  readonly position: number;
  readonly tokenId: number;
  /** What the gates chose, best first: [L·K], {@link NO_EXPERT} where a gate of others chose fewer. */
  readonly experts: Uint16Array;
  /** What they chose by, with the router's bias: [L·E], layer by layer. Absent: not recorded of this token. */
  readonly routerLogits?: Float32Array;
}

/** Instead of an expert: −1 as an unsigned number of 16 bits. */
export const NO_EXPERT = 0xffff;

/** As routings have them: −1 is none. */
export const choicesOf = (experts: Uint16Array): Int32Array =>
  Int32Array.from(experts, (expert) => (expert === NO_EXPERT ? -1 : expert));

/** Everything but the header. */
export type RecordedLine =
  | { readonly kind: 'load'; readonly record: LoadRecord }
  | { readonly kind: 'token'; readonly record: TokenRecord }
  | { readonly kind: 'placement'; readonly record: PlacementRecord };

/** Every header says it, so that no other file is taken for a recording. */
export const FORMAT = 'expertwire-load';
/** Of a header, in characters. */
export const MAX_HEADER_LENGTH = 65_536;

/** Longest line that a record of this shape takes. */
export const maxRecordLength = ({ numLayers, numExperts, numTopk, slots, hasRouterLogits }: RecordingHeader): number =>
  1024 +
  numLayers *
    ((hasRouterLogits === true ? 2 + 26 * mostOf(numExperts) : 0) +
      Math.max(2 + 26 * Math.max(mostOf(numExperts), numTopk), 40 + 9 * (slots?.maxSlots ?? slots?.numSlots ?? 0)));

/** The first line, with its end. The format's version is 4 where layers differ in experts, 3 where router logits are recorded, 2 where placements are, otherwise 1. */
export const headerLine = (header: RecordingHeader): string =>
  `${JSON.stringify({
    format: FORMAT,
    format_version: versionOf(header),
    mode: header.mode,
    model: header.model,
    num_layers: header.numLayers,
    num_experts: header.numExperts,
    num_topk: header.numTopk,
    created_by: header.createdBy,
    window_size: header.windowSize,
    num_ranks: header.slots?.numRanks,
    num_slots: header.slots?.numSlots,
    max_slots: header.slots?.maxSlots,
    router_logits: header.hasRouterLogits,
  })}\n`;

function versionOf({ numExperts, hasRouterLogits, slots }: RecordingHeader): number {
  if (typeof numExperts !== 'number') return 4;
  return hasRouterLogits === true ? 3 : slots === undefined ? 1 : 2;
}

/** A line of `stat` or `per_pass`, with its end. */
export const loadLine = ({ step, numSteps, numTokens, load_LE }: LoadRecord): string =>
  `${JSON.stringify({
    step,
    num_steps: numSteps,
    num_tokens: numTokens,
    load: load_LE.map((load_E) => Array.from(load_E)),
  })}\n`;

/** A line of `per_token`, with its end, cut into layers; −1 is no expert. */
export const tokenLine = (
  { step, request, position, tokenId, experts, routerLogits }: TokenRecord,
  { numTopk, numExperts, numLayers }: Pick<RecordingHeader, 'numTopk' | 'numExperts' | 'numLayers'>,
): string => {
  const router_logits = routerLogits && cutInto(Array.from(routerLogits, shortFloat), countsOf(numExperts, numLayers));
  const line = {
    step,
    request,
    position,
    token_id: tokenId,
    experts: cut([...choicesOf(experts)], numTopk),
    router_logits,
  };
  return `${JSON.stringify(line)}\n`;
};

const cut = (values: readonly number[], length: number): number[][] =>
  Array.from({ length: values.length / length }, (_, i) => values.slice(i * length, (i + 1) * length));

function cutInto(values: readonly number[], lengths: readonly number[]): number[][] {
  let from = 0;
  return lengths.map((length) => values.slice(from, (from += length)));
}

/** A line that says which placement ran, with its end. */
export const placementLine = ({ step, version, numRanks, layers }: PlacementRecord): string =>
  `${JSON.stringify({
    step,
    placement_version: version,
    num_ranks: numRanks,
    layers: layers.map(({ moeLayer, phy2log }) => ({ layer: moeLayer, phy2log: [...phy2log] })),
  })}\n`;
