/** The tiny checkpoints with half of their experts, as scripts/conformance/pruned.mjs writes them for transformers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { pruning } from '../../../lib/prune/prune_checkpoint.js';
import { rewriteCheckpoint } from '../../../lib/rewrite/rewrite.js';
import { openSource } from '../../../lib/rewrite/source.js';
import { repoRoot, tinyModel } from '../paths.js';

/** By name: with experts taken out, or merged into those beside them. */
export const PRUNED_MODELS: readonly (readonly [name: string, isMerged: boolean])[] = [
  ['tiny-qwen3-moe', false],
  ['tiny-qwen3-moe', true],
  ['tiny-deepseek-v3', false],
  ['tiny-gpt-oss', false],
  ['tiny-mixtral', true],
  ['tiny-olmoe', false],
];

/** What transformers computes with them in float64. */
export interface PrunedGolden {
  readonly tokens: readonly number[];
  /** [tokens][V], by name, with `+merged` where experts were merged. */
  readonly logits: Readonly<Record<string, readonly (readonly number[])[]>>;
}

export const readPrunedGolden = (): PrunedGolden =>
  JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'pruned', 'logits.json'), 'utf8')) as PrunedGolden;

/** As goldens call it. */
export const prunedName = (name: string, isMerged: boolean): string => name + (isMerged ? '+merged' : '');

/** Writes one: of two neighbours one stays, in turns from layer to layer. */
export async function writePrunedModel(name: string, isMerged: boolean, dir: string): Promise<void> {
  const source = await openSource(tinyModel(name));
  try {
    const { numExperts } = source.spec.moe.gate;
    const kept = moeLayersOf(source.spec).map((_, l) =>
      Array.from({ length: numExperts / 2 }, (__, i) => 2 * i + (l % 2)),
    );
    const groups = kept.map((layer) =>
      layer.map((expert) => ({ experts: [expert, expert ^ 1], weights: [0.75, 0.25] })),
    );
    const how = { criterion: 'neighbours', kept, groups: isMerged ? groups : undefined };
    await rewriteCheckpoint(source, dir, pruning(source, how));
  } finally {
    await source.close();
  }
}
