/** Prometheus' view of a router. Why: docs/decisions/telemetry.md#counted-when-it-happens-or-read-when-asked */
import { Registry, type Counter, type Histogram } from 'prom-client';
import type { BatchCounts } from '../../server/base/batch_counts.js';
import { BatchMetrics } from '../../server/telemetry/batch_metrics.js';
import { FIRST_TOKEN_SECONDS, REQUEST_SECONDS } from '../../server/telemetry/buckets.js';
import { SeriesMaker, type Level } from '../../server/telemetry/series.js';
import type { InstanceView } from '../base/instance_view.js';
import type { RequestStory } from './passage/request_story.js';

/** The series of one router, in a registry of its own. */
export class RouterMetrics {
  private readonly registry = new Registry();
  private readonly requests: Counter<'endpoint' | 'status'>;
  private readonly legs: Counter<'instance'>;
  private readonly retries: Counter;
  private readonly resumes: Counter;
  private readonly moves: Counter<'why' | 'outcome'>;
  private readonly promptTokens: Counter;
  private readonly cachedTokens: Counter;
  private readonly outputTokens: Counter;
  private readonly copies: Counter<'instance' | 'outcome'>;
  private readonly copiedBlocks: Counter<'instance'>;
  private readonly cutOff: Counter;
  private readonly firstToken: Histogram;
  private readonly duration: Histogram;
  private readonly running: Level;
  private readonly healthy: Level<'instance' | 'role'>;
  private readonly load: Level<'instance'>;
  private readonly activeBlocks: Level<'instance'>;
  private readonly batches: BatchMetrics;

  constructor() {
    const make = new SeriesMaker(this.registry);
    this.batches = new BatchMetrics(make, 'expertwire_router_');
    this.requests = make.counter(
      'expertwire_router_requests_total',
      'Requests that were answered.',
      'endpoint',
      'status',
    );
    this.cutOff = make.counter(
      'expertwire_router_cut_off_total',
      'Requests whose clients do not have all of the answer.',
    );
    this.legs = make.counter(
      'expertwire_router_sent_total',
      'Requests and legs of them that an instance was sent.',
      'instance',
    );
    this.retries = make.counter(
      'expertwire_router_retries_total',
      'Requests that were sent again before anything was told.',
    );
    this.resumes = make.counter('expertwire_router_resumes_total', 'Requests with which another instance went on.');
    this.moves = make.counter('expertwire_router_moves_total', 'Requests that moved, or could not.', 'why', 'outcome');
    this.promptTokens = make.counter(
      'expertwire_router_prompt_tokens_total',
      'Tokens of prompts, as far as they are known.',
    );
    this.cachedTokens = make.counter(
      'expertwire_router_cached_tokens_total',
      'Of them, those that were foreseen in a cache.',
    );
    this.outputTokens = make.counter(
      'expertwire_router_output_tokens_total',
      'Output tokens, as far as answers tell them.',
    );
    this.copies = make.counter(
      'expertwire_router_copies_total',
      'Prefixes that many ask for, as they came to one more instance, or did not.',
      'instance',
      'outcome',
    );
    this.copiedBlocks = make.counter(
      'expertwire_router_copied_blocks_total',
      'KV blocks of such prefixes that an instance has since.',
      'instance',
    );
    this.firstToken = make.histogram(
      'expertwire_router_first_token_seconds',
      'Until the first token.',
      FIRST_TOKEN_SECONDS,
    );
    this.duration = make.histogram('expertwire_router_request_seconds', 'Until the end of an answer.', REQUEST_SECONDS);
    this.running = make.level('expertwire_router_running', 'Requests that are being answered.');
    this.healthy = make.level('expertwire_router_instance_up', 'Whether an instance is asked.', 'instance', 'role');
    this.load = make.level('expertwire_router_instance_requests', 'Requests that wait and run there.', 'instance');
    this.activeBlocks = make.level(
      'expertwire_router_instance_blocks',
      'KV blocks that its requests hold.',
      'instance',
    );
  }

  /** Of the text. */
  get contentType(): string {
    return this.registry.contentType;
  }

  /** A request is over. */
  over(story: RequestStory): void {
    const { asked, status, instances, moves, firstTokenMs, ms } = story;
    this.requests.inc({ endpoint: asked.endpoint ?? 'other', status });
    for (const instance of instances) this.legs.inc({ instance });
    for (const { why, isDone } of moves) this.moves.inc({ why, outcome: isDone ? 'done' : 'failed' });
    this.retries.inc(story.numRetries);
    this.resumes.inc(story.numResumes);
    this.promptTokens.inc(story.numPromptTokens);
    this.cachedTokens.inc(story.numCachedTokens);
    this.outputTokens.inc(story.numOutputTokens ?? 0);
    if (story.isCutOff) this.cutOff.inc();
    if (firstTokenMs !== null) this.firstToken.observe(firstTokenMs / 1000);
    this.duration.observe(ms / 1000);
  }

  /** A prefix came to an instance; null: it didn't. */
  readonly copied = (instance: string, numBlocks: number | null): void => {
    this.copies.inc({ instance, outcome: numBlocks === null ? 'failed' : 'done' });
    this.copiedBlocks.inc({ instance }, numBlocks ?? 0);
  };

  /** All series at this moment, in Prometheus' text format 0.0.4. */
  text(views: readonly InstanceView[], numRunning: number, batches: BatchCounts): Promise<string> {
    this.batches.update(batches);
    this.running.set(numRunning);
    this.healthy.setAll(
      views.map(({ record: { id, role }, isHealthy }) => [{ instance: id, role }, Number(isHealthy)]),
    );
    this.load.setAll(views.map(({ record, numRequests }) => [{ instance: record.id }, numRequests]));
    this.activeBlocks.setAll(views.map(({ record, numActiveBlocks }) => [{ instance: record.id }, numActiveBlocks]));
    return this.registry.metrics();
  }
}
