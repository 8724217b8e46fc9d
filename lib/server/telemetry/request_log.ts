/** A line per HTTP request, when it is over: who, what, how long, how many tokens, and why it ended. Nothing of what was said. */
import type { Logger } from 'pino';
import type { ScaleCause, ScaleEvent } from '../../head/elastic/scale_events.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { ExpertsEvent } from '../../head/rebalancing/experts_event.js';
import type { RebalanceEvent } from '../../head/rebalancing/rebalance_stats.js';
import type { SpeedEvent } from '../../head/speeds/speed_events.js';
import type { Loss } from '../../head/step_loop.js';
import type { EngineObserver } from '../../head/watchers.js';
import type { Answer, EndedTrack, Exchange, ExchangeListener } from './exchange.js';
import { secondsBetween } from './request_track.js';

/** Requests that compute nothing would drown the others: Prometheus alone comes every 15 seconds. */
const WATCHING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Writes to a log. */
export class RequestLog
  implements ExchangeListener, Pick<EngineObserver, 'enter' | 'loss' | 'rebalance' | 'homes' | 'speed' | 'scale'>
{
  constructor(private readonly log: Logger) {}

  /** The line of a request; of one that only looks, at level `debug`. */
  answered({ id, method, route, startMs, tracks }: Exchange, { status, isCutOff, endMs }: Answer): void {
    const level = WATCHING.has(method) ? 'debug' : 'info';
    if (!this.log.isLevelEnabled(level)) return;
    const line = { request_id: id, method, route, status, ms: rounded(endMs - startMs) };
    const cut = isCutOff ? { is_cut_off: true } : {};
    this.log[level]({ ...line, ...cut, ...(tracks.length > 0 && sequencesText(tracks)) }, 'request');
  }

  /** Ranks came or went as it was planned; {@link loss} tells of the others. */
  enter({ epoch, members, joined, left }: EpochChange): void {
    if (joined.length + left.length === 0) return;
    this.log.info({ epoch, joined, left, ranks: members.present.size }, 'ranks came or went');
  }

  /** Ranks were lost. */
  loss({ epoch, lost, numRanksLeft, numRecomputed, numFailed }: Loss): void {
    const ranks = lost.map(({ rank }) => rank);
    const reasons = lost.map(({ error }) => error.message);
    const numbers = { ranks_left: numRanksLeft, recomputed: numRecomputed, failed: numFailed };
    this.log.warn({ epoch, ranks, reasons, ...numbers }, 'ranks were lost');
  }

  /** Experts moved, or could not be moved. */
  rebalance(event: RebalanceEvent): void {
    if (event.kind === 'failed') return this.log.warn({ reason: event.error.message }, 'experts were not moved');
    const { version, step, numMovedExperts, movedBytes, predicted } = event;
    const moved = { moved_experts: numMovedExperts, moved_bytes: movedBytes, balancedness: predicted };
    this.log.info({ placement_version: version, step, ...moved }, 'experts moved');
  }

  /** Experts of lost ranks have new homes, or are spread anew since ranks came or went. */
  homes(event: ExpertsEvent): void {
    switch (event.kind) {
      case 'recovered':
        return this.log.info({ experts: event.numExperts, ms: rounded(event.recoveryMs) }, 'experts have new homes');
      case 'spread': {
        const { version, numMovedExperts, movedBytes } = event.moved;
        const moved = { moved_experts: numMovedExperts, moved_bytes: movedBytes };
        // Where everything was in its place already, nobody waits for the word.
        const level = numMovedExperts === 0 ? 'debug' : 'info';
        return this.log[level]({ why: event.why, placement_version: version, ...moved }, 'experts were spread');
      }
      case 'failed':
        return this.log.warn({ why: event.why, reason: event.error.message }, 'experts were not spread');
    }
  }

  /** A rank fell behind or caught up, or rows come late over one link. */
  speed(event: SpeedEvent): void {
    if (event.kind === 'late_link') {
      const { from, to, share } = event;
      this.log.warn({ from, to, wait_share: hundredths(share) }, 'rows come late over one link');
      return;
    }
    const { rank, speed } = event;
    const { pace, experts, own, waitShare } = speed;
    const paces = { pace: hundredths(pace), experts: hundredths(experts), own: hundredths(own) };
    const fields = { rank, ...paces, wait_share: hundredths(waitShare) };
    if (event.kind === 'slow') this.log.warn(fields, 'a rank is slow');
    else this.log.info(fields, 'a rank has caught up');
  }

  /** Ranks come or go because somebody wanted it. */
  scale(event: ScaleEvent): void {
    const { kind, before, cause } = event;
    const fields = { ranks_before: before, ...causeFields(cause) };
    if (kind === 'begun') return this.log.info({ ...fields, wanted: event.wanted }, 'scaling');
    const { after } = event;
    if (kind === 'failed') return this.log.warn({ ...fields, ranks: after, reason: event.error.message }, 'not scaled');
    const { joined, left, numMovedExperts, numMovedSequences, numRecomputed, ms, firstMs } = event;
    const moved = { moved_experts: numMovedExperts, moved_sequences: numMovedSequences, recomputed: numRecomputed };
    const times = { ms: rounded(ms), first_ms: firstMs === null ? null : rounded(firstMs) };
    this.log.info({ ...fields, ranks: after, joined, left, ...moved, ...times }, 'scaled');
  }
}

/** Why there are to be more or fewer ranks, with the figures that say so. */
function causeFields(cause: ScaleCause): object {
  switch (cause.kind) {
    case 'asked':
      return { why: 'asked' };
    case 'policy': {
      const { metric, mean, numSteps } = cause;
      return { why: 'policy', metric, mean: mean === null ? null : rounded(mean), steps: numSteps };
    }
    case 'leave':
      return { why: 'leaves', rank: cause.rank };
  }
}

/** Summed over the sequences of one request; times are of the slowest. */
function sequencesText(ended: readonly EndedTrack[]): object {
  const tracks = ended.map(({ track }) => track);
  const sum = (of: (track: EndedTrack['track']) => number): number => tracks.reduce((all, each) => all + of(each), 0);
  const slowest = (of: (track: EndedTrack['track']) => number | null): number | null => {
    const seconds = tracks.map(of).filter((each) => each !== null);
    return seconds.length === 0 ? null : rounded(1000 * Math.max(...seconds));
  };
  return {
    prompt_tokens: sum(({ numPromptTokens }) => numPromptTokens),
    cached_tokens: sum(({ numCachedTokens }) => numCachedTokens),
    output_tokens: sum(({ numOutputTokens }) => numOutputTokens),
    preempted: sum(({ numPreempted }) => numPreempted),
    queue_ms: slowest(({ queuedMs, admittedMs }) => secondsBetween(queuedMs, admittedMs)),
    first_token_ms: slowest(({ queuedMs, firstTokenMs }) => secondsBetween(queuedMs, firstTokenMs)),
    reasons: [...new Set(ended.map(({ end }) => end))],
  };
}

const hundredths = (value: number | null): number | null => (value === null ? null : Number(value.toFixed(2)));
const rounded = (ms: number): number => Number(ms.toFixed(3));
