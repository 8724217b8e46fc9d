/** What clients saw of a server, as `lib/experiment/measures/serve.ts` has the formulae. Pure. */
import { createHash } from 'node:crypto';
import type { Json } from '../../../lib/experiment/base/run.js';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import { latencyMetrics } from '../base/pass_metrics.js';
import { isGood, latenciesOf, METRICS, type Targets } from '../../serve/figures/figures.js';
import {
  e2elMs,
  isCompleted,
  itlsMs,
  numOutputTokens,
  numPromptTokens,
  tpotMs,
  ttftMs,
  type RequestRecord,
} from '../../serve/figures/record.js';
import type { ServeResult } from '../../serve/result.js';

/** `areBitwise`: answers don't depend on which requests run beside them. */
export function loadMetrics({ figures, records, cached, client }: ServeResult, areBitwise: boolean): Metrics {
  const values = latenciesOf(records.filter(isCompleted));
  const numGood = figures.numGood ?? figures.numCompleted;
  const { measured } = cached;
  return {
    tokens_per_s: figures.outputThroughput,
    total_tokens_per_s: figures.totalThroughput,
    requests_per_s: figures.requestThroughput,
    goodput_per_s: (1000 * numGood) / figures.durationMs,
    good_share: numGood / records.length,
    ...Object.fromEntries(METRICS.flatMap((name) => Object.entries(latencyMetrics(name, values[name])))),
    longest_stall_ms: values.itl.length === 0 ? null : values.itl.reduce((most, ms) => Math.max(most, ms)),
    duration_s: figures.durationMs / 1000,
    failed: figures.numFailed,
    cached_share: measured && measured.promptTokens > 0 ? measured.cachedTokens / measured.promptTokens : null,
    num_requests: records.length,
    late_client: Number(client.isLate),
    answers_sha256: areBitwise ? hashOf(records) : null,
  };
}

/** Null where one isn't there. */
function hashOf(records: readonly RequestRecord[]): string | null {
  const completed = records.filter(isCompleted);
  if (completed.length < records.length) return null;
  const inOrder = [...completed].sort((a, b) => a.conversation - b.conversation || a.turn - b.turn);
  const answers = inOrder.map(({ answer: { tokenIds, text } }) => tokenIds ?? text);
  return createHash('sha256').update(JSON.stringify(answers)).digest('hex');
}

/** Of each request, in the order of sending: for reports. */
export const requestDetails = (records: readonly RequestRecord[], targets: Targets | null): Json =>
  records.map((record) => {
    const { conversation, turn, plannedMs, startMs, endMs, failure } = record;
    const sent = { conversation, turn, planned_ms: plannedMs, start_ms: startMs, end_ms: endMs };
    if (!isCompleted(record)) return { ...sent, good: false, failure: failure && `${failure.kind}: ${failure.reason}` };
    const itls = itlsMs(record);
    return {
      ...{ ...sent, good: targets === null || isGood(record, targets), failure: null },
      ...{ ttft_ms: ttftMs(record), tpot_ms: tpotMs(record), e2el_ms: e2elMs(record) },
      longest_stall_ms: itls.length === 0 ? null : itls.reduce((most, ms) => Math.max(most, ms)),
      ...{ prompt_tokens: numPromptTokens(record), output_tokens: numOutputTokens(record) },
      cached_tokens: record.answer.usage?.cachedTokens ?? null,
    };
  });
