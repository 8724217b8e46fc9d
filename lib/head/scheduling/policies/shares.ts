/** How a step's budget is shared out. */
import type { RunningView, Share, StepBudget } from '../policy.js';

/** Generated tokens first, one each; then prompts, in chunks of what is left. Within each, in the order that is given. */
export function generatedFirst(running: readonly RunningView[], budget: StepBudget): Share[] {
  const shares: Share[] = [];
  let { numTokens, numBytes } = budget;
  const generating = running.filter(({ isGenerating }) => isGenerating);
  const others = running.filter(({ isGenerating }) => !isGenerating);
  for (const { sequence, numReady, toldBytes } of [...generating, ...others]) {
    const most = fitting(Math.min(numReady, numTokens), toldBytes, numBytes);
    if (most.numTokens <= 0) continue;
    shares.push({ sequence, numTokens: most.numTokens });
    numTokens -= most.numTokens;
    numBytes -= most.numBytes;
  }
  return shares;
}

/** As many tokens as may tell what they have to tell. */
function fitting(numTokens: number, toldBytes: RunningView['toldBytes'], most: number): StepBudget {
  if (toldBytes === null) return { numTokens, numBytes: 0 };
  let numBytes = 0;
  for (let token = 0; token < numTokens; token++) {
    const next = numBytes + toldBytes(token);
    if (next > most) return { numTokens: token, numBytes };
    numBytes = next;
  }
  return { numTokens, numBytes };
}
