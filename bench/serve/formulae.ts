/** What each figure of `bench serve` is. */
export const FORMULAE = {
  ttft: 'arrival of the first chunk with tokens − sending (connecting included), per request',
  tpot: '(last token − first token) / (tokens − 1), per request of two tokens or more',
  itl: 'gaps between chunks with tokens, all requests pooled; a chunk may have several tokens',
  e2el: 'arrival of the last chunk with tokens − sending, per request',
  goodput: 'requests that meet all targets / duration',
  throughput: 'of requests that were answered whole / duration; the duration goes from the start to the last end',
  tokens: "as the server's usage counts them; without usage one per chunk",
  ideal:
    'full blocks of earlier prompts (and answers) that a prompt begins with / prompt tokens, in a cache without end',
} as const;
