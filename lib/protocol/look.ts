/**
 * What a request wants told of its tokens from inside the model: travels to its rank once, and both ends compute from it which tokens are told of. Pure.
 * Why: docs/decisions/hooks.md#what-is-asked-for-travels-once
 */
import { uniform } from '../../base/philox.js';
import { expertSizesOf, gateOf, type ModelSpec } from '../model/spec/spec.js';

/**
 * What a table of rows holds of a token at one layer. hidden: [H] hidden states between two layers, where layer n is the place before layer n and the number of layers is
 * behind the last; moe_input: [H] normed, as experts take it; router_logits: [E]; experts and weights: [K] each; expert_outputs: [K·H], unweighted, in the order of `experts`; lens: [V] logits of the hidden states of
 * that place.
 */
export const TABLES = ['hidden', 'moe_input', 'router_logits', 'experts', 'weights', 'expert_outputs', 'lens'] as const;
/** One of {@link TABLES}. */
export type TableName = (typeof TABLES)[number];

/** Which tokens are fed to the model: those of the prompt, those that were generated, or both. */
export type LookedTokens = 'all' | 'prompt' | 'generated';

/** One look at a sequence. */
export interface Look {
  /** Layers, ascending, by their number in the model. */
  readonly layers: Readonly<Partial<Record<TableName, readonly number[]>>>;
  readonly tokens: LookedTokens;
  /** Of those tokens, each drawn by its position, over 0, up to 1. */
  readonly share: number;
  /** Of that draw. */
  readonly seed: number;
}

/** Rows of the tokens of a part that some look of its sequence is at, ascending. */
export interface LookTable {
  readonly table: TableName;
  readonly layer: number;
  /** Counted from the part's first; null: all. */
  readonly tokens: readonly number[] | null;
  readonly rows: Float32Array | Int32Array;
}

/** Tokens of a sequence that follow each other. */
export interface LookedPart {
  readonly sequence: number;
  /** Of the first of them. */
  readonly position: number;
  readonly numTokens: number;
  readonly numPromptTokens: number;
}

/** Whether a look is at the token at `position`. The same whatever the ranks, steps and chunks. */
export function isAt({ tokens, share, seed }: Look, sequence: number, position: number, isPrompt: boolean): boolean {
  if (tokens !== 'all' && (tokens === 'prompt') !== isPrompt) return false;
  return share === 1 || uniform(seed, sequence, position) < share;
}

/** Which tokens of a part some of these looks are at, ascending, counted from its first. */
export function tokensAt(looks: readonly Look[], part: LookedPart): number[] {
  const { sequence, position, numTokens, numPromptTokens } = part;
  const found: number[] = [];
  for (let token = 0; token < numTokens; token++) {
    const at = position + token;
    if (looks.some((look) => isAt(look, sequence, at, at < numPromptTokens))) found.push(token);
  }
  return found;
}

/** Looks at the same layers of the same table, in a fixed order. */
export interface Sight {
  readonly table: TableName;
  readonly layer: number;
  readonly looks: readonly Look[];
}

/** What tables there are of a sequence with these looks, table by table and in ascending layers. */
export function sightsOf(looks: readonly Look[]): Sight[] {
  return TABLES.flatMap((table) => {
    const layers = new Set(looks.flatMap((look) => look.layers[table] ?? []));
    return [...layers]
      .sort((a, b) => a - b)
      .map((layer) => ({ table, layer, looks: looks.filter((look) => look.layers[table]?.includes(layer)) }));
  });
}

/** Numbers in a row of a table, at a layer. */
export function rowLengthOf({ table, layer }: Pick<Sight, 'table' | 'layer'>, spec: ModelSpec): number {
  const { numTopk } = spec.moe.gate;
  const { hidden } = expertSizesOf(spec);
  switch (table) {
    case 'hidden':
    case 'moe_input':
      return hidden;
    case 'router_logits':
      return gateOf(spec, layer).numExperts;
    case 'experts':
    case 'weights':
      return numTopk;
    case 'expert_outputs':
      return numTopk * hidden;
    case 'lens':
      return spec.vocabSize;
  }
}

/** Bytes that travel to the head of a token that all these looks are at. */
export const bytesPerToken = (looks: readonly Look[], spec: ModelSpec): number =>
  sightsOf(looks).reduce((sum, sight) => sum + 4 * rowLengthOf(sight, spec), 0);

/**
 * Rows of single choices that one rank sends in one exchange of expert outputs: as float32 they take no more than a step's rows in any dtype of one byte.
 * Why: docs/decisions/hooks.md#expert-outputs-are-computed-once-more
 */
export const outputRowsAtOnce = (maxNumBatchedTokens: number): number => Math.ceil(maxNumBatchedTokens / 4);
