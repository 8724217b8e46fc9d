/** A result as JSON: the names of vLLM's result files where they have the figure, so that what reads those reads these. Pure. */
import { METRICS } from './figures/figures.js';
import {
  e2elMs,
  isCompleted,
  itlsMs,
  numOutputTokens,
  numPromptTokens,
  ttftMs,
  type RequestRecord,
} from './figures/record.js';
import type { ServeOptions } from './options.js';
import { FORMULAE } from './formulae.js';
import type { ServeResult } from './result.js';

/** One object; `detailed`: with lists that have an element per request. */
export function resultJson(result: ServeResult, options: ServeOptions): Readonly<Record<string, unknown>> {
  const { figures, cached, client, records, machine, model, notes } = result;
  const { arrivals, maxConcurrency, seed, numPrompts, targets, dataset, endpoint, url } = options;
  return {
    machine,
    ...{ url: url.href, model_id: model, endpoint_type: endpoint, dataset, notes, seed, num_prompts: numPrompts },
    request_rate: arrivals.requestRate === Infinity ? 'inf' : arrivals.requestRate,
    burstiness: arrivals.burstiness === Infinity ? 'inf' : arrivals.burstiness,
    max_concurrency: maxConcurrency === Infinity ? null : maxConcurrency,
    goodput_targets_ms: targets,
    formulae: FORMULAE,
    duration: figures.durationMs / 1000,
    completed: figures.numCompleted,
    failed: figures.numFailed,
    failures: figures.failures,
    total_input_tokens: figures.inputTokens,
    total_output_tokens: figures.outputTokens,
    counted_by_chunks: figures.numCountedByChunks,
    request_throughput: figures.requestThroughput,
    request_goodput: figures.requestGoodput,
    output_throughput: figures.outputThroughput,
    total_token_throughput: figures.totalThroughput,
    max_output_tokens_per_s: figures.peakOutputThroughput,
    max_concurrent_requests: figures.peakConcurrency,
    ...latencyFields(result),
    cached_tokens: cached.measured,
    ideal_cached_tokens: cached.ideal,
    client: { send_delay_ms: client.sendDelayMs, event_loop_delay_ms: client.loopDelay, is_late: client.isLate },
    ...(options.detailed && { requests: records.map(requestJson) }),
  };
}

/** mean_ttft_ms, median_ttft_ms, std_ttft_ms, p99_ttft_ms and so on; null where nothing was measured. */
function latencyFields({ figures }: ServeResult): Record<string, number | null> {
  const fields: Record<string, number | null> = {};
  for (const metric of METRICS) {
    const distribution = figures.latencies[metric];
    for (const name of ['mean', 'median', 'std'] as const)
      fields[`${name}_${metric}_ms`] = distribution?.[name] ?? null;
    for (const [percent, value] of distribution?.percentiles ?? []) fields[`p${percent}_${metric}_ms`] = value;
  }
  return fields;
}

function requestJson(record: RequestRecord): object {
  const { conversation, turn, plannedMs, startMs, failure } = record;
  const told = { conversation, turn, planned_ms: plannedMs, start_ms: startMs, failure };
  if (!isCompleted(record)) return told;
  return {
    ...told,
    ...{ ttft_ms: ttftMs(record), e2el_ms: e2elMs(record), itls_ms: itlsMs(record) },
    ...{ input_tokens: numPromptTokens(record), output_tokens: numOutputTokens(record) },
    cached_tokens: record.answer.usage?.cachedTokens ?? null,
  };
}
