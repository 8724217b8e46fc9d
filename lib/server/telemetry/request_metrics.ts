/** What requests came to, under vLLM's names and with its meanings: `vllm/v1/metrics/loggers.py` and `stats.py`. */
import type { Counter, Histogram } from 'prom-client';
import { FIRST_TOKEN_SECONDS, REQUEST_SECONDS, TOKEN_SECONDS, tokenBuckets } from './buckets.js';
import { secondsBetween, TRACK_ENDS, type RequestTrack, type TrackEnd, type TrackListener } from './request_track.js';
import type { SeriesMaker, Total } from './series.js';

/** Counts tokens, and requests as they end. */
export class RequestMetrics implements TrackListener {
  private readonly promptTokens: Counter;
  private readonly cachedPromptTokens: Counter;
  private readonly outputTokens: Total;
  private readonly success: Counter<'finished_reason'>;
  private readonly firstToken: Histogram;
  private readonly interToken: Histogram;
  private readonly perOutputToken: Histogram;
  private readonly times: Readonly<Record<'e2e' | 'queue' | 'prefill' | 'decode' | 'inference', Histogram>>;
  private readonly sizes: Readonly<Record<'prompt' | 'computed' | 'output' | 'maxOutput' | 'maxTokens', Histogram>>;

  /** A number costs less per token than a series does. */
  private numOutputTokens = 0;

  /** @param maxModelLen the most tokens of prompt and output together */
  constructor(make: SeriesMaker, maxModelLen: number) {
    this.promptTokens = make.counter('vllm:prompt_tokens_total', 'Tokens of prompts whose first token is out.');
    this.cachedPromptTokens = make.counter(
      'vllm:prompt_tokens_cached_total',
      'Of them, tokens that were in the prefix cache.',
    );
    this.outputTokens = make.total('vllm:generation_tokens_total', 'Tokens generated.');
    this.success = make.counter('vllm:request_success_total', 'Requests that are over, by reason.', 'finished_reason');
    for (const end of TRACK_ENDS) this.success.inc({ finished_reason: end }, 0);
    this.firstToken = make.histogram(
      'vllm:time_to_first_token_seconds',
      'From arrival to the first token, in seconds.',
      FIRST_TOKEN_SECONDS,
    );
    this.interToken = make.histogram(
      'vllm:inter_token_latency_seconds',
      'From each token of a request to its next, in seconds.',
      TOKEN_SECONDS,
    );
    this.perOutputToken = make.histogram(
      'vllm:request_time_per_output_token_seconds',
      'Mean time between the tokens of a request, in seconds.',
      TOKEN_SECONDS,
    );
    this.times = timesOf(make);
    this.sizes = sizesOf(make, tokenBuckets(maxModelLen));
  }

  /** Takes over what was counted. */
  update(): void {
    this.outputTokens.set(this.numOutputTokens);
  }

  /** Counts a token; with the first one, the prompt. */
  token(track: RequestTrack, gapMs: number | null): void {
    this.numOutputTokens++;
    if (gapMs !== null) return this.interToken.observe(gapMs / 1000);
    this.promptTokens.inc(track.numPromptTokens);
    this.cachedPromptTokens.inc(track.numCachedTokens);
    this.firstToken.observe(secondsBetween(track.queuedMs, track.firstTokenMs)!);
  }

  /** Counts a request that is over, and how long it took where it ended well. */
  ended(track: RequestTrack, end: TrackEnd): void {
    this.success.inc({ finished_reason: end });
    if (end !== 'stop' && end !== 'length') return; // half a request says nothing of how long requests take
    const { queuedMs, admittedMs, firstTokenMs, lastTokenMs, endedMs, numPromptTokens, numOutputTokens } = track;
    const { times, sizes } = this;
    observe(times.e2e, secondsBetween(queuedMs, endedMs));
    observe(times.queue, secondsBetween(queuedMs, admittedMs));
    observe(times.prefill, secondsBetween(admittedMs, firstTokenMs));
    observe(times.decode, secondsBetween(firstTokenMs, lastTokenMs));
    observe(times.inference, secondsBetween(admittedMs, lastTokenMs));
    sizes.prompt.observe(numPromptTokens);
    sizes.computed.observe(numPromptTokens - track.numCachedTokens);
    sizes.output.observe(numOutputTokens);
    sizes.maxOutput.observe(numOutputTokens);
    sizes.maxTokens.observe(track.maxNewTokens);
    if (numOutputTokens < 2) return;
    this.perOutputToken.observe(secondsBetween(firstTokenMs, lastTokenMs)! / (numOutputTokens - 1));
  }
}

function observe(histogram: Histogram, seconds: number | null): void {
  if (seconds !== null) histogram.observe(seconds);
}

function timesOf(make: SeriesMaker) {
  const time = (name: string, what: string): Histogram =>
    make.histogram(`vllm:${name}_seconds`, `${what}, in seconds.`, REQUEST_SECONDS);
  return {
    e2e: time('e2e_request_latency', 'From arrival to the end of a request'),
    queue: time('request_queue_time', 'From arrival until a request runs'),
    prefill: time('request_prefill_time', 'From when a request runs to its first token'),
    decode: time('request_decode_time', 'From the first token of a request to its last'),
    inference: time('request_inference_time', 'From when a request runs to its last token'),
  };
}

function sizesOf(make: SeriesMaker, buckets: readonly number[]) {
  const size = (name: string, help: string): Histogram => make.histogram(`vllm:${name}`, help, buckets);
  return {
    prompt: size('request_prompt_tokens', 'Tokens of the prompt of a request.'),
    computed: size('request_prefill_kv_computed_tokens', 'Of them, tokens that were not in the prefix cache.'),
    output: size('request_generation_tokens', 'Tokens that a request generated.'),
    maxOutput: size('request_max_num_generation_tokens', 'The same; each choice of a request counts for itself.'),
    maxTokens: size('request_params_max_tokens', 'The most tokens that a request wanted.'),
  };
}
