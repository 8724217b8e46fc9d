/** How a step's budget is shared out. */
import type { RunningView, Share, StepBudget } from './policy.js';

/** Generated tokens first, one each; then prompts, in chunks of what is left. Within each, in the order that is given. */
export function generatedFirst(running: readonly RunningView[], budget: StepBudget): Share[] {
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
}
