/** What ranks tell of tokens in flat arrays, token by token. Pure. */
import { NO_EXPERT } from '../../experts/load/recording.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import type { TokenLogprobs } from '../protocol/request.js';
import type { LogprobTable } from '../protocol/step_plan.js';

/** Each token's row of a table. */
export function tokenLogprobs({ logprobs, ranks, topTokenIds, topLogprobs }: LogprobTable): TokenLogprobs[] {
  const numTop = topTokenIds.length / logprobs.length;
  return Array.from(logprobs, (logprob, i) => ({
    logprob,
    rank: ranks[i]!,
    top: Array.from(topTokenIds.subarray(i * numTop, (i + 1) * numTop), (tokenId, place) => ({
      tokenId,
      logprob: topLogprobs[i * numTop + place]!,
    })),
  }));
}

/** [n·L·K] → [n][L][K], or fewer where a gate of others chose fewer. */
export function tokenExperts(experts: Uint16Array, spec: ModelSpec): number[][][] {
  const { numTopk } = spec.moe.gate;
  const numMoeLayers = moeLayersOf(spec).length;
  const perToken = numMoeLayers * numTopk;
  return Array.from({ length: perToken === 0 ? 0 : experts.length / perToken }, (_, token) =>
    Array.from({ length: numMoeLayers }, (_, layer) => {
      const start = token * perToken + layer * numTopk;
      return [...experts.subarray(start, start + numTopk)].filter((expert) => expert !== NO_EXPERT);
    }),
  );
}
