/** Hooks: who looks inside the model while it runs, at what, and what they are told. docs/hooks.md has examples. */
import type { LookedTokens } from './look.js';

/** Numbers of layers, from 0, as config.json counts them; 'all': all that there are, of what MoE layers alone have all of those. */
export type Layers = 'all' | readonly number[];

/** At what a hook looks, and in which layers. At least one of them. */
export interface HookPoints {
  /** [H] the residual stream as it enters the layer: of layer 0 the embedded token. */
  readonly hiddenBefore?: Layers;
  /** [H] as it leaves the layer; of the last one before the final norm. */
  readonly hiddenAfter?: Layers;
  /** [V] what the final norm and the head would make of `hiddenAfter`: of the last layer the logits (the "logit lens"). As costly as a head for each. */
  readonly lensLogits?: Layers;
  /** [H] the token's normed state as the routed experts take it. */
  readonly moeInput?: Layers;
  /** [E] of all experts, with the router's bias. */
  readonly routerLogits?: Layers;
  /** [E] of all experts, in float64: what the gate makes of the logits, before biases of the selection, groups and normalisation. */
  readonly routerScores?: Layers;
  /** [K] experts that the token went to, best first, and their weights; −1 where a gate of a plug-in chose fewer. */
  readonly routing?: Layers;
  /** [K·H] what each of those experts made of the token's normed state, unweighted. They compute it once more: costly. */
  readonly expertOutputs?: Layers;
}

/** Looks at tokens that are fed to the model, each once, and not at those that the prefix cache had. */
export interface Hook {
  readonly points: HookPoints;
  /** Default 'all'. With anything else than 'generated', no token of a prompt is taken from the prefix cache. */
  readonly tokens?: LookedTokens;
  /** Share of those tokens, each drawn by its position: over 0, up to 1. Default 1. */
  readonly share?: number;
  /** Of that draw: a whole number from 0. Default 0. */
  readonly seed?: number;
  /** Called token by token, layer by layer. All steps wait for what it returns, as long as the request isn't over. What it throws ends the request that it was told of: HOOK_FAILED. */
  readonly onEvent: (event: HookEvent) => void | Promise<void>;
}

/** Where a hook's event belongs. */
export interface HookPlace {
  /** The request's number in the engine, from 0. */
  readonly sequence: number;
  /** Its `id`; null: it has none. */
  readonly request: string | null;
  readonly layer: number;
  /** In prompt and output, from 0. */
  readonly position: number;
  readonly tokenId: number;
}

interface RowEvent<Point> extends HookPlace {
  readonly point: Point;
  readonly values: Float32Array;
}

/** What a hook is told, once per token, layer and point. Its arrays are not to be changed; a copy is needed only to save memory: they are parts of larger ones. */
export type HookEvent =
  | RowEvent<'hiddenBefore'>
  | RowEvent<'hiddenAfter'>
  | RowEvent<'lensLogits'>
  | RowEvent<'moeInput'>
  | RowEvent<'routerLogits'>
  | (HookPlace & { readonly point: 'routerScores'; readonly values: Float64Array })
  | (HookPlace & { readonly point: 'routing'; readonly experts: Int32Array; readonly weights: Float32Array })
  /** `values`: [K·H] in the order of `experts`; zeros of an expert whose rank was lost, and of −1. */
  | (HookPlace & { readonly point: 'expertOutputs'; readonly experts: Int32Array; readonly values: Float32Array });

/** One of the names in {@link HookPoints}. */
export type HookPoint = HookEvent['point'];
