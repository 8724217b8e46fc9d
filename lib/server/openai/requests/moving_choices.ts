/** Choices of a request that goes on elsewhere, or comes from there. */
import { randomInt } from 'node:crypto';
import { ApiError } from '../../base/api_error.js';
import { HttpKvSource } from '../../cluster/http_kv_source.js';
import type { ServedCluster } from '../../cluster/served_cluster.js';
import type { RequestTerms } from '../../cluster/request_terms.js';
import type { Choice } from './choices.js';

/** Seeds that are drawn are under this: exact in JSON, whoever reads it. */
const MAX_SEED = 2 ** 47;

/** The choices as the engine gets them: one that may move is `movable`. @throws ApiError INVALID_VALUE where the terms want one that can't */
export function movingChoices(
  choices: readonly Choice[],
  terms: RequestTerms,
  leaseTimeoutMs: number,
): readonly Choice[] {
  const { isRouted, handsOver, source, resume } = terms;
  const isWanted = handsOver || source !== null || resume !== null;
  if (!isRouted && !isWanted) return choices;
  const obstacle = obstacleOf(choices);
  if (obstacle !== null) {
    if (!isWanted) return choices;
    const param = resume === null ? 'kv_transfer_params' : 'resume';
    throw new ApiError('INVALID_VALUE', `a request with ${param} may move, and this one can't: ${obstacle}`, { param });
  }
  const [choice] = choices as [Choice];
  const seed = terms.seed ?? choice.request.sampling?.seed ?? randomInt(MAX_SEED);
  const request = {
    ...choice.request,
    sampling: { ...choice.request.sampling, seed },
    movable: isRouted || handsOver,
    ...(handsOver && { handover: 'after_prompt' as const }),
    ...(resume !== null && { outputTokenIds: resume.token_ids }),
    ...(source !== null && { source: new HttpKvSource(source, leaseTimeoutMs) }),
    ...((source !== null || resume !== null) && { tellAgain: true }),
  };
  return [{ ...choice, request }];
}

/** The choices as the engine gets them: it reads from other instances what they have of a prompt. */
export function broughtChoices(
  choices: readonly Choice[],
  { holders: urls }: Pick<RequestTerms, 'holders'>,
  cluster: Pick<ServedCluster, 'holderAt'> | null,
): readonly Choice[] {
  const holders = urls.flatMap((url) => cluster?.holderAt(url) ?? []);
  return holders.length === 0 ? choices : choices.map((each) => ({ ...each, request: { ...each.request, holders } }));
}

/** Why it can't go on elsewhere; null: it can. */
function obstacleOf(choices: readonly Choice[]): string | null {
  if (choices.length > 1) return `it has ${choices.length} choices; send them one by one`;
  const { logprobs, promptLogprobs, returnRoutedExperts, returnRouterLogits, maxNewTokens } = choices[0]!.request;
  if (logprobs !== undefined || promptLogprobs !== undefined) return 'it wants log-probabilities; leave them out';
  if (returnRoutedExperts === true || returnRouterLogits !== undefined)
    return 'it wants experts or router logits; leave them out';
  return maxNewTokens === 0 ? 'it wants no token; give max_tokens' : null;
}
