/**
 * The engine as its users see it: prompts in, tokens out. Lives in the head process, which holds no tensors: a job of rank processes
 * computes the steps that the scheduler forms.
 */
import { withoutRanks, type Placement } from '../../experts/placement/placement.js';
import type { RoutingObserver, StepRouting } from '../../experts/load/load_recorder.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import { checkCompute } from '../config/compute.js';
import { checkConfig } from '../config/load.js';
import { readPlacement } from '../config/placement_file.js';
import { readRouting } from '../config/routing.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { expertKey } from '../model/spec/tensor_names.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { EngineError } from '../protocol/errors.js';
import type { EpochChange, Job } from '../job/job.js';
import type { EngineLimits } from '../protocol/limits.js';
import { reasonOf } from '../job/membership.js';
import { checkTokens, openModel, type OpenedModel } from './opened_model.js';
import { uniform } from '../../base/philox.js';
import { checkPlanner, numGroupsOf } from './rebalancing/planner_check.js';
import { PlannerThread, type Planning } from './rebalancing/planner_thread.js';
import { moveLimitsOf } from '../protocol/rank_job.js';
import type { OnRebalance } from './rebalancing/rebalance_stats.js';
import { Rebalancer, type RebalancerOptions } from './rebalancing/rebalancer.js';
import { checkedGeneration, checkedScore, type CheckedGeneration } from './request_check.js';
import type { GenerationRequest, ScoreRequest, ScoreResult, TokenEvent, TokenSource } from '../protocol/request.js';
import { checkSampling, GREEDY, type SamplingParams } from '../protocol/sampling.js';
import { Scheduler } from './scheduling/scheduler.js';
import { Generation, Score, type Sequence } from './sequence.js';
import { startJob, type JobOptions } from '../job/start_job.js';
import { StatsCollector, type EngineStats } from './stats.js';
import type { SequenceWants, StepPlan, StepResult } from '../protocol/step_plan.js';
import { stepRouting, withForcedExperts } from './step_routing.js';

export interface EngineOptions extends Omit<JobOptions, 'config' | 'spec' | 'numLocalRanks' | 'limits' | 'placement'> {
  readonly config: ExpertwireConfig;
  /** The model of the configuration, where the caller has opened it already. */
  readonly model?: OpenedModel;
  /** Ranks were lost and the job goes on without them (`comm.on_peer_loss: mask`). */
  readonly onLoss?: OnLoss;
  /** Told of what every step routed: a recorder for instance. Where it throws, all requests fail. */
  readonly observer?: RoutingObserver;
  /** Experts moved to other ranks, or could not be moved (`load_balance`). */
  readonly onRebalance?: OnRebalance;
}

export interface Loss extends EpochChange {
  /** Ranks that are left. */
  readonly numRanksLeft: number;
  /** Sequences whose cache was lost: they are computed anew elsewhere, and their callers notice only that it takes longer. */
  readonly numRecomputed: number;
  /** Requests that failed, because a second rank was lost while it computed them. */
  readonly numFailed: number;
}

export type OnLoss = (loss: Loss) => void;

/** What an engine runs on. */
export interface EngineParts extends OpenedModel {
  readonly config: ExpertwireConfig;
  readonly placement: Placement;
  readonly job: Job;
  readonly onLoss?: OnLoss | undefined;
  readonly observer?: RoutingObserver | undefined;
  /** Chooses experts instead of the gates, for experiments. */
  readonly routing?: RoutingSource | null;
  readonly onRebalance?: OnRebalance | undefined;
  /** Who plans while steps run. Default: a thread with the planner of the configuration. */
  readonly planning?: Planning | undefined;
}

export class Engine implements TokenSource {
  readonly spec: ModelSpec;
  /** Undefined where the model folder has none. */
  readonly tokenizer: Tokenizer | undefined;
  readonly limits: EngineLimits;
  private readonly firstPlacement: Placement;
  /** Made anew when the placement changes or ranks are lost. */
  private ran: { readonly whole: Placement; readonly numLost: number; readonly left: Placement } | null = null;
  /** Null: experts stay where they are. */
  private readonly rebalancer: Rebalancer | null;
  private readonly config: ExpertwireConfig;
  private readonly job: Job;
  private readonly onLoss: OnLoss | undefined;
  private readonly observer: RoutingObserver | undefined;
  private readonly routing: RoutingSource | null;
  /** Lost ranks, each with why. */
  private readonly lost = new Map<number, EngineError>();
  private readonly scheduler: Scheduler;
  private readonly sequences = new Map<number, Sequence>();
  private readonly collector: StatsCollector;
  private nextSequence = 0;
  private failure: Error | null = null;
  private loop: Promise<void> | null = null;

  /** An engine over a job that runs already: {@link start} starts one. The engine closes it. */
  constructor(parts: EngineParts) {
    this.config = parts.config;
    this.spec = parts.spec;
    this.tokenizer = parts.tokenizer;
    this.limits = parts.limits;
    this.firstPlacement = parts.placement;
    this.job = parts.job;
    this.onLoss = parts.onLoss;
    this.observer = parts.observer;
    this.routing = parts.routing ?? null;
    this.scheduler = new Scheduler({ ...parts.limits, numRanks: parts.job.numRanks });
    const { window_size: windowSize, decay } = parts.config.load_balance;
    const shape = { numLayers: moeLayersOf(parts.spec).length, numExperts: parts.spec.moe.gate.numExperts };
    this.collector = new StatsCollector(parts.job.reports, { ...shape, windowSize, decay });
    this.rebalancer = rebalancerOf(parts, () => this.collector.windowLoad);
    void parts.job.failed.then((error) => this.fail(error));
    parts.job.watch(() => {
      if (this.loop === null) this.applyChange(this.job.change()); // otherwise the loop does, between two steps
    });
  }

  /**
   * Checks model and configuration, starts the ranks and waits until all have loaded and see each other.
   * @throws ConfigError, WeightError, ModelError, TokenizerError, CommError or EngineError: what is wrong, and what to do.
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const { config } = (options as EngineOptions | undefined) ?? {};
    checkConfig(config);
    checkCompute(config);
    const { spec, tokenizer, limits } = options.model ?? (await openModel(config));
    const numRanks = config.parallel.ranks + (options.numExternalRanks ?? 0);
    const { numExperts, numTopk } = spec.moe.gate;
    const numLayers = moeLayersOf(spec).length;
    const placement = await readPlacement(config.experts, { numLayers, numExperts, numRanks });
    const routing = await readRouting(config.experts, { numLayers, numExperts, numTopk });
    checkPlanner(config, placement, spec);
    const job = await startJob({ ...options, numLocalRanks: config.parallel.ranks, spec, limits, placement });
    const { onLoss, onRebalance, observer } = options;
    return new Engine({ config, spec, tokenizer, limits, placement, job, onLoss, onRebalance, observer, routing });
  }

  /** The placement in force. */
  get placement(): Placement {
    return this.rebalancer?.placement ?? this.firstPlacement;
  }

  /** @throws EngineError INVALID_REQUEST, CONTEXT_LENGTH_EXCEEDED, NO_TOKENIZER; later, whatever ended the job. */
  async *generate(given: GenerationRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent, void, undefined> {
    const request = checkedGeneration(given, signal);
    const sequence = this.nextSequence++;
    const sampling = this.samplingOf(request, sequence);
    this.checkGeneration(request);
    const generation = new Generation({
      request,
      seed: sampling.seed,
      eosTokenIds: this.spec.eosTokenIds,
      tokenizer: this.tokenizer,
      shape: this.routingShape,
    });
    const { promptTokenIds, maxNewTokens } = request;
    const wants = { routedExperts: request.returnRoutedExperts === true, promptLogprobs: false, logits: false };
    this.submit(sequence, { promptTokenIds, maxNewTokens, sampling, wants }, generation);
    const forget = this.onAbort(signal, sequence, generation);
    try {
      yield* generation.events;
    } finally {
      forget();
      this.end(sequence);
    }
  }

  /** Log-probabilities of a text's tokens. Errors as those of {@link generate}. */
  async score(given: ScoreRequest, signal?: AbortSignal): Promise<ScoreResult> {
    const request = checkedScore(given, signal);
    const { tokenIds, onLogits } = request;
    if (tokenIds.length < 2) {
      throw new EngineError('INVALID_REQUEST', `${tokenIds.length} tokens to score; give at least 2`);
    }
    checkTokens(tokenIds, 0, this);
    const sequence = this.nextSequence++;
    const score = new Score(request, this.routingShape);
    const wants = { routedExperts: true, promptLogprobs: true, logits: onLogits !== undefined };
    this.submit(sequence, { promptTokenIds: tokenIds, maxNewTokens: 0, sampling: GREEDY, wants }, score);
    const forget = this.onAbort(signal, sequence, score);
    try {
      return await score.result;
    } finally {
      forget();
      this.end(sequence);
    }
  }

  stats(): EngineStats {
    return { ...this.collector.stats(), rebalancing: this.rebalancer?.stats() ?? null };
  }

  /** Ends all ranks; running requests end with CLOSED. Idempotent. */
  async close(): Promise<void> {
    this.fail(new EngineError('CLOSED', 'the engine was closed; start another'));
    await this.job.close();
    await this.rebalancer?.close();
    await this.loop;
  }

  private get routingShape(): { numMoeLayers: number; numTopk: number } {
    return { numMoeLayers: moeLayersOf(this.spec).length, numTopk: this.spec.moe.gate.numTopk };
  }

  private submit(
    sequence: number,
    request: {
      readonly promptTokenIds: readonly number[];
      readonly maxNewTokens: number;
      readonly sampling: SamplingParams;
      readonly wants: SequenceWants;
    },
    consumer: Sequence,
  ): void {
    if (this.failure !== null) throw this.failure;
    this.sequences.set(sequence, consumer);
    const routedExperts = request.wants.routedExperts || this.observer?.wantsTokens === true;
    this.scheduler.add({ sequence, ...request, wants: { ...request.wants, routedExperts } });
    this.loop ??= this.run();
  }

  /** Ends a sequence when its caller gives it up, also where nobody asks for its next event; returns how to stop listening. */
  private onAbort(signal: AbortSignal | undefined, sequence: number, consumer: Sequence): () => void {
    const onAbort = (): void => {
      consumer.fail(new EngineError('CLOSED', 'the request was cancelled by its caller'));
      this.end(sequence);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    return () => signal?.removeEventListener('abort', onAbort);
  }

  /** Forgets a sequence, whether it finished, failed or was given up; its rank frees the KV cache. */
  private end(sequence: number): void {
    this.sequences.delete(sequence);
    const rank = this.scheduler.finish(sequence);
    if (rank !== null && this.failure === null) this.job.free(rank, [sequence]);
  }

  /** Step after step while there is work. */
  private async run(): Promise<void> {
    try {
      // All requests of this turn of the event loop share the first step.
      await Promise.resolve();
      for (;;) {
        this.applyChange(await this.job.settled());
        const plans = this.nextPlans();
        if (plans === null) break;
        const startMs = performance.now();
        const outcome = await this.job.step(plans);
        if (outcome.kind === 'abandoned') continue;
        const stepMs = performance.now() - startMs;
        this.collector.add(plans, outcome.results, stepMs);
        this.rebalancer?.stepped(this.collector.stepLoad, outcome.results, stepMs);
        await this.observer?.add(stepRouting(plans, outcome.results, this.counted, this.routingWidth));
        await this.commit(plans, outcome.results);
      }
    } catch (error) {
      this.fail(errorFrom(error));
    } finally {
      this.loop = null;
    }
  }

  private nextPlans(): StepPlan[] | null {
    const scheduled = this.scheduler.next();
    if (scheduled === null) return null;
    const placed = this.rebalancer?.next(scheduled[0]!) ?? { placementVersion: this.placement.version };
    const plans = scheduled.map((plan) => ({ ...plan, ...placed }));
    return this.routing === null ? plans : withForcedExperts(plans, this.routing, this.routingWidth);
  }

  /** Of the last step. */
  private get counted(): Pick<StepRouting, 'load_LE' | 'rankLoad_LR' | 'placement'> {
    const { stepLoad: load_LE, stepRankLoad_LR: rankLoad_LR } = this.collector;
    return { load_LE, rankLoad_LR, placement: this.placementLeft };
  }

  /** The placement in force without what lost ranks held; the same object until it changes. */
  private get placementLeft(): Placement {
    const { placement: whole, lost } = this;
    if (this.ran?.whole !== whole || this.ran.numLost !== lost.size) {
      const left = lost.size === 0 ? whole : withoutRanks(whole, [...lost.keys()]);
      this.ran = { whole, numLost: lost.size, left };
    }
    return this.ran.left;
  }

  /** Choices of one token: L·K. */
  private get routingWidth(): number {
    const { numMoeLayers, numTopk } = this.routingShape;
    return numMoeLayers * numTopk;
  }

  /** Ranks were lost: what they computed for is queued again, unless it may be what breaks them. */
  private applyChange(change: EpochChange | null): void {
    if (change === null) return;
    for (const { rank, error } of change.lost) this.lost.set(rank, error);
    this.collector.lose([...this.lost.keys()]);
    this.rebalancer?.lose([...this.lost.keys()]);
    const ranks = change.lost.map(({ rank }) => rank);
    // A process that was killed, or a link that was cut, says nothing against what the rank computed.
    const failedRanks = change.lost.filter(({ error }) => error.code !== 'RANK_LOST').map(({ rank }) => rank);
    const { numRequeued, failed } = this.scheduler.lose(ranks, change.epoch, failedRanks);
    for (const { sequence, ranks: broken } of failed) this.failOne(sequence, this.brokenBy(broken));
    const numRanksLeft = this.job.numRanks - this.lost.size;
    this.onLoss?.({ ...change, numRanksLeft, numRecomputed: numRequeued, numFailed: failed.length });
  }

  private brokenBy(ranks: readonly number[]): EngineError {
    const reasons = ranks.map((rank) => reasonOf(this.lost.get(rank)!)).join(', and ');
    const text =
      `two ranks were lost while they computed this request: ${reasons}; the others go on without it: change it, ` +
      'or, where it took too long, raise comm.timeout_ms or lower engine.max_num_batched_tokens';
    const last = ranks.at(-1)!;
    return new EngineError('RANK_FAILED', text, { rank: last, cause: this.lost.get(last) });
  }

  /** Fails one request; the others go on. */
  private failOne(sequence: number, error: Error): void {
    this.sequences.get(sequence)?.fail(error);
    this.end(sequence);
  }

  /** Every rank that is left finished the step: its tokens count. */
  private async commit(plans: readonly StepPlan[], results: readonly (StepResult | null)[]): Promise<void> {
    for (const [rank, plan] of plans.entries()) {
      const { outputs } = results[rank] ?? NO_RESULT;
      const sampled = outputs.flatMap(({ sequence, tokenId }) =>
        tokenId === null ? [] : [[sequence, tokenId] as const],
      );
      this.scheduler.commit(plan, new Map(sampled));
      for (const [i, output] of outputs.entries()) {
        const consumer = this.sequences.get(output.sequence);
        consumer?.degrade(output.degraded ?? []);
        if (plan.parts[i]!.isReplay) continue;
        try {
          const isOver = await consumer?.take(plan.parts[i]!, output);
          if (isOver === true) this.end(output.sequence);
        } catch (error) {
          // Its caller's: onLogits.
          this.failOne(output.sequence, errorFrom(error));
        }
      }
    }
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const [sequence, consumer] of this.sequences) {
      consumer.fail(this.failure);
      this.scheduler.finish(sequence);
    }
    this.sequences.clear();
  }

  private samplingOf({ sampling = {} }: GenerationRequest, sequence: number): SamplingParams {
    const drawn = Math.floor(uniform(this.config.engine.seed, 0, sequence) * 2 ** 32);
    const params = { ...GREEDY, seed: drawn, ...sampling };
    checkSampling(params);
    return params;
  }

  private checkGeneration({ promptTokenIds, maxNewTokens, stop = [] }: CheckedGeneration): void {
    if (promptTokenIds.length === 0) {
      throw new EngineError('INVALID_REQUEST', 'the prompt is empty: give at least one token');
    }
    if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 1) {
      throw new EngineError('INVALID_REQUEST', `max_new_tokens is ${maxNewTokens}; give a whole number from 1`);
    }
    if (stop.length > 0 && this.tokenizer === undefined) {
      throw new EngineError('NO_TOKENIZER', `${this.config.model} has no tokenizer.json, which stop strings need`);
    }
    checkTokens(promptTokenIds, maxNewTokens, this);
  }
}

/** What balances load while steps run, if the configuration wants it. */
function rebalancerOf(
  { config, spec, placement, job, planning, onRebalance }: EngineParts,
  windowLoad: RebalancerOptions['windowLoad'],
): Rebalancer | null {
  const limits = moveLimitsOf(config, spec);
  if (limits === null) return null;
  const layers = moeLayersOf(spec);
  return new Rebalancer({
    config: config.load_balance,
    placement,
    windowLoad,
    bytesPerStep: limits.bytesPerStep,
    numNodes: config.comm.num_nodes,
    numGroups: numGroupsOf(spec),
    split: ['balanced', 'allgather'].includes(config.experts.replica_choice) ? 'balanced' : 'even',
    planning: planning ?? new PlannerThread(config.load_balance.planner),
    tell: (move, epoch) => job.move(move, epoch),
    digestOf: (moeLayer, logical) => job.expertDigests.get(expertKey(layers[moeLayer]!, logical)),
    onRebalance,
  });
}

/** Of a rank that was lost before the step: its plan is empty too. */
const NO_RESULT: Pick<StepResult, 'outputs'> = { outputs: [] };

const errorFrom = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
