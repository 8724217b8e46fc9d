import type { Place, SchedulingPolicy, Share } from './policy.js';

/**
 * First come, first served: a request that finds no room keeps those behind it waiting, so that none starves, and who was admitted last gives way, so that
 * who was admitted first always goes on. Generated tokens come first, one each; prompts take in chunks what is left.
 */
export const fcfs: SchedulingPolicy = {
  admit([first], placesOf) {
    if (first === undefined) return null;
    const { sequence } = first;
    const [best] = placesOf(sequence)
      .filter(({ numFreeBlocks }) => numFreeBlocks >= 0)
      .sort(byLoad);
    return best === undefined ? null : { sequence, rank: best.rank };
  },
  plan(running, budget) {
    const shares: Share[] = [];
    let { numTokens, numLogitTokens } = budget;
    const generating = running.filter(({ isGenerating }) => isGenerating);
    const others = running.filter(({ isGenerating }) => !isGenerating);
    for (const { sequence, numReady, wantsLogits } of [...generating, ...others]) {
      const most = Math.min(numReady, numTokens, wantsLogits ? numLogitTokens : Infinity);
      if (most <= 0) continue;
      shares.push({ sequence, numTokens: most });
      numTokens -= most;
      if (wantsLogits) numLogitTokens -= most;
    }
    return shares;
  },
  preempt: (running) => running.at(-1)!.sequence,
};

/** The fewest sequences first, then the most blocks left. */
const byLoad = (a: Place, b: Place): number => a.numSequences - b.numSequences || b.numFreeBlocks - a.numFreeBlocks;
