/** A routing policy: the instance where a request's first token should come first, and none where that takes longer than `most` seconds. */

/** @type {import('expertwire').Plugin} */
export default (api, { most = 30, tokensPerS = 1000 }) =>
  api.registerRoutingPolicy('shortest_queue', (request, candidates) => {
    const secondsOf = ({ numPrefillTokens, numCachedTokens, rates }) => {
      const numTokens = numPrefillTokens + request.numPromptTokens - numCachedTokens;
      return numTokens / (rates.prefillTokensPerS ?? tokensPerS);
    };
    const best = candidates.reduce((a, b) => {
      const [ofA, ofB] = [secondsOf(a), secondsOf(b)];
      return ofB < ofA || (ofB === ofA && b.numRequests < a.numRequests) ? b : a;
    });
    const seconds = secondsOf(best);
    if (seconds <= most) return { kind: 'routed', instance: best.record.id };
    const reason = `its first token would come after ${seconds.toFixed(1)} s`;
    return { kind: 'rejected', reason, retryAfterMs: 1000 * (seconds - most) };
  });
