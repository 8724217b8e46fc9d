/**
 * The engine as its users see it: prompts in, tokens out. Lives in the head process, which holds no tensors: a job of rank processes
 * computes the steps that the loop forms.
 */
import { availableParallelism } from 'node:os';
import { uniform } from '../../base/philox.js';
import type { RoutingObserver } from '../../experts/load/load_recorder.js';
import { LoadWindow } from '../../experts/load/load_window.js';
import { LivePlacement } from '../../experts/placement/live_placement.js';
import type { Placement } from '../../experts/placement/placement.js';
import { usedSeats } from '../../experts/placement/used_seats.js';
import { wholePlacement } from '../../experts/placement/slices.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import { checkCompute } from '../config/compute.js';
import { checkConfig } from '../config/load.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { Job } from '../job/job.js';
import type { SettledConfig } from '../config/loss_policy.js';
import type { JobOptions } from '../job/start/job_options.js';
import { resumeJob } from '../job/start/resume_job.js';
import { startJob } from '../job/start/start_job.js';
import { numSlicesOf } from '../model/spec/slices.js';
import { expertCountsOf, moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { EngineError } from '../protocol/errors.js';
import type { Hook } from '../protocol/hook.js';
import { isPooled } from '../protocol/kv_pool.js';
import { kvStorePlanOf } from '../protocol/kv_store_plan.js';
import { kvSizesOf } from '../protocol/kv_transfer.js';
import type { EngineLimits } from '../protocol/limits.js';
import type { Look } from '../protocol/look.js';
import type { BlockHolder } from '../protocol/kv_loan.js';
import type { KvIdentity } from '../protocol/kv_source.js';
import type { GenerationRequest, ScoreRequest, ScoreResult, TokenEvent, TokenSource } from '../protocol/request.js';
import type { SequenceWants } from '../protocol/step_plan.js';
import { checkSampledTokens, checkSampling, GREEDY, type SamplingParams } from '../protocol/sampling.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { OnScale, Scaled, ScalingStats } from './elastic/scale_events.js';
import { Scaler } from './elastic/scaler.js';
import { Generation } from './generation.js';
import { checkedHooks, checkLooks, type CheckedHook } from './hooks/checked_hook.js';
import { routerLogitsHook } from './hooks/router_logits_hook.js';
import { ToldHooks } from './hooks/told_hooks.js';
import { BlockPool } from './handover/block_pool.js';
import type { ArrivalCounts } from './handover/arrival_counts.js';
import { Arrivals } from './handover/arrivals.js';
import { ComingRequests } from './handover/coming_requests.js';
import type { FollowedSource } from './handover/followed_source.js';
import { kvIdentityOf } from './handover/kv_identity.js';
import { checkMovable, movability } from './handover/movability.js';
import type { Offer, OfferOptions } from './handover/offer.js';
import { KvCosts, type BlockNumbers } from './kv/kv_costs.js';
import { MAX_LOAN_BLOCKS } from './kv/lending.js';
import type { Loan } from './kv/loan.js';
import { tierRoomsOf } from './kv/tier_rooms.js';
import { noPoolCounts, type PoolCounts } from './kv/pool_counts.js';
import { checkGeneration, checkTokens, openModel, type OpenedModel } from './opened_model.js';
import type { AskedRebalance, OnRebalance, RebalanceStats } from './rebalancing/rebalance_stats.js';
import { ExpertMoves } from './rebalancing/expert_moves.js';
import type { OnExperts } from './rebalancing/experts_event.js';
import type { Planning } from './rebalancing/planner_thread.js';
import { checkedGeneration, checkedScore, type CheckedGeneration } from './request_check.js';
import { Requests } from './requests.js';
import { HEADROOM_BLOCKS } from './scheduling/crowds.js';
import { POLICIES } from './scheduling/policies/policies.js';
import { KEY_BYTES } from './scheduling/blocks/block_keys.js';
import { prefixSharingOf, type PrefixSharing, type SharingFacts } from './scheduling/blocks/prefix_sharing.js';
import { Scheduler, type SchedulerCounts, type SchedulerLoad, type SequenceRequest } from './scheduling/scheduler.js';
import type { SequenceLoads } from './scheduling/sequence_loads.js';
import type { StoredBlocks } from './scheduling/blocks/stored_blocks.js';
import { toldOf } from './scheduling/told.js';
import { Score } from './score.js';
import { settledStart } from './settled_start.js';
import { StatsCollector, type StepStats } from './observing/stats.js';
import { RankSpeeds } from './speeds/rank_speeds.js';
import type { OnSpeed, RankSpeed, SpeedEvent } from './speeds/speed_events.js';
import { StepLoop, type OnLoss } from './step_loop.js';
import type { StepObserver } from './observing/step_observer.js';
import { recordedLook, recordingObserver, withForcedExperts } from './step_routing.js';
import { Watchers, type EngineObserver } from './watchers.js';

/** How a job is started, and who is told of what. */
export interface EngineOptions extends Omit<
  JobOptions,
  'config' | 'spec' | 'numLocalRanks' | 'limits' | 'placement' | 'plugins' | 'gate' | 'codecs' | 'storeIdentity'
> {
  readonly config: ExpertwireConfig;
  /** The model of the configuration, where the caller has opened it already. */
  readonly model?: OpenedModel;
  /** Ranks were lost and the job goes on without them (`comm.on_peer_loss: mask`). */
  readonly onLoss?: OnLoss | undefined;
  /** Told of what every step routed: a recorder for instance. Where it throws, all requests fail. */
  readonly observer?: RoutingObserver | undefined;
  /** Look inside the model while it computes requests. Default none. */
  readonly hooks?: readonly Hook[] | undefined;
  /** Experts moved to other ranks, or could not be moved (`load_balance`). */
  readonly onRebalance?: OnRebalance | undefined;
  /** Ranks came or went because somebody wanted it, or should have. */
  readonly onScale?: OnScale | undefined;
  /** Experts of lost ranks have new homes, or are spread anew since ranks came or went (`comm.on_peer_loss: recover`). */
  readonly onExperts?: OnExperts | undefined;
  /** A rank fell behind or caught up (`parallel.slow_factor`), or rows come late over one link. */
  readonly onSpeed?: OnSpeed | undefined;
  /**
   * Steps wait for a plan that is being made (`load_balance`), so that experts move beside the same ones each time: for experiments. Default false: it is in force as
   * soon as it is there.
   */
  readonly awaitsPlans?: boolean | undefined;
}

/** What an engine runs on. */
export interface EngineParts
  extends
    OpenedModel,
    Pick<
      EngineOptions,
      'onLoss' | 'onNotice' | 'observer' | 'onRebalance' | 'onExperts' | 'onScale' | 'onSpeed' | 'hooks' | 'awaitsPlans'
    > {
  readonly config: SettledConfig;
  readonly placement: Placement;
  readonly job: Job;
  /** Who plans placements while steps run. Default: a thread with the planner of the configuration. */
  readonly planning?: Planning | undefined;
  /** Chooses experts instead of the gates, for experiments. */
  readonly routing?: RoutingSource | null;
}

/** What a job came to so far. */
export interface EngineStats extends StepStats, SchedulerCounts {
  /** Null where experts stay where they are (`load_balance.enabled`). */
  readonly rebalancing: RebalanceStats | null;
  /** Null where the ranks are always the same, but for those that are lost. */
  readonly scaling: ScalingStats | null;
  /** By rank, beside the median rank. */
  readonly speeds: readonly RankSpeed[];
  /** Of requests that came from other instances. */
  readonly arrivals: ArrivalCounts;
  /** Blocks that other ranks and instances lent, or were lent. */
  readonly pool: PoolCounts;
}

/** Generates and scores on ranks that it starts and ends. */
export class Engine implements TokenSource {
  readonly spec: ModelSpec;
  /** Undefined where the model folder has none. */
  readonly tokenizer: Tokenizer | undefined;
  readonly limits: EngineLimits;
  private readonly live: LivePlacement;
  private readonly collector: StatsCollector;
  private readonly experts: ExpertMoves;
  private readonly speeds: RankSpeeds;
  private readonly scheduler: Scheduler;
  private readonly requests: Requests;
  private readonly pool: BlockPool;
  private readonly poolCounts = noPoolCounts();
  private readonly coming = new ComingRequests();
  private readonly arrivals: Arrivals;
  /** What its keys and values are, beside those of other instances. */
  readonly kvIdentity: KvIdentity;
  /** How blocks are named that requests share; null: they share none. */
  readonly prefixSharing: PrefixSharing | null;
  private readonly loop: StepLoop;
  /** Null: the ranks are always the same, but for those that are lost. */
  private readonly scaler: Scaler | null;
  private readonly watchers = new Watchers();
  private readonly hooks: readonly CheckedHook[];
  /** What a recorder wants of every request. */
  private readonly recorded: Look | null;
  private nextSequence = 0;
  /** The placement in force, and as others see it. */
  private shown: { readonly whole: Placement; readonly seen: Placement };

  /** An engine over a job that runs already: {@link start} starts one. The engine closes it. */
  constructor(private readonly parts: EngineParts) {
    const { config, spec, job, limits, observer, onLoss, routing = null } = parts;
    this.spec = spec;
    this.tokenizer = parts.tokenizer;
    this.limits = limits;
    this.hooks = checkedHooks(parts.hooks ?? [], 'hooks', spec);
    this.recorded = observer === undefined ? null : recordedLook(observer, spec);
    const { numTopk } = spec.moe.gate;
    const shape = { numLayers: moeLayersOf(spec).length, numExperts: expertCountsOf(spec) };
    const width = shape.numLayers * numTopk;
    const { window_size: windowSize, decay } = config.load_balance;
    const window = new LoadWindow({ ...shape, windowSize, decay });
    const empty = [...Array(job.numSeats).keys()].filter((seat) => !job.members.present.has(seat));
    this.live = new LivePlacement(parts.placement, empty);
    this.collector = new StatsCollector(job, shape, window);
    this.shown = { whole: this.live.whole, seen: this.seen(this.live.whole, this.collector.numRanks) };
    const { watchers } = this;
    const onRebalance: OnRebalance = (event) => {
      parts.onRebalance?.(event);
      watchers.rebalance(event);
    };
    const onExperts: OnExperts = (event) => {
      parts.onExperts?.(event);
      watchers.homes(event);
    };
    const onUrgent = (): void => this.loop.start();
    const told = { onRebalance, onExperts, onUrgent };
    const onSpeed: OnSpeed = (event) => this.sped(event);
    const { slow_factor: slowFactor, on_slow: onSlow } = config.parallel;
    const isIgnored = onSlow === 'ignore';
    this.speeds = new RankSpeeds({ numSeats: job.numSeats, spec, slowFactor, isIgnored, onSpeed });
    const capacities = (): readonly number[] | undefined => this.speeds.capacities;
    // Who is demoted gives all away, by an epoch.
    const slow = (): readonly number[] => (onSlow === 'demote' ? [] : this.speeds.slow);
    this.experts = new ExpertMoves({ ...parts, ...told, placement: this.live, window, capacities, slow });
    const policy = POLICIES[config.engine.scheduling];
    const kv = kvSizesOf(config, spec);
    const blockBytes = kv.rowBytes + kv.stateBytes;
    // Forced experts depend on the request's number, and a recorder wants to see every token.
    const areAlike = routing === null && observer?.wantsTokens !== true;
    const sharing = areAlike ? prefixSharingOf(config, spec, sharingOf(parts)) : null;
    const tiers = sharing === null ? [] : tierRoomsOf(kvStorePlanOf(config, spec, parts.storeIdentity));
    this.kvIdentity = kvIdentityOf(parts.fingerprint, spec, config.engine.kv_dtype, sharing);
    this.prefixSharing = sharing;
    const costs = new KvCosts(limits.maxNumBatchedTokens);
    this.scheduler = new Scheduler({
      ...limits,
      paceOf: (rank) => this.speeds.ownPaceOf(rank),
      numRanks: job.numSeats,
      members: job.members.present,
      epoch: job.members.epoch,
      policy,
      sharing,
      told: toldOf(spec),
      numHeadroomBlocks: HEADROOM_BLOCKS,
      kv,
      tiers,
      ...{ isPooled: sharing !== null && isPooled(config), pool: this.poolCounts },
      ...(config.engine.kv_bring === 'auto' && { costs }),
    });
    const loadMs = (blocks: BlockNumbers): number => {
      const numBlocks = Object.values(blocks).reduce((sum, each) => sum + each, 0);
      return costs.patienceMs(blocks, config.comm.timeout_ms + (numBlocks * blockBytes) / SLOWEST_BYTES_PER_MS);
    };
    this.pool = new BlockPool({
      ...{ job, blocks: this.scheduler.holdings, costs, counts: this.poolCounts, loadMs },
      leaseMs: config.cluster.lease_timeout_ms,
      onNotice: parts.onNotice,
    });
    this.requests = new Requests({
      ...{ lending: this.pool.lending, fetches: this.pool.fetches, loadMs },
      onBrought: (numbers, ms) => costs.brought(numbers, ms),
      ...{
        scheduler: this.scheduler,
        job,
        isReadable: !limits.states,
        blockSize: limits.blockSize,
        timeoutMs: config.cluster.lease_timeout_ms,
      },
      onWork: () => this.loop.start(),
      onNews: (news) => {
        this.scaler?.request(news);
        watchers.request(news);
      },
    });
    job.watchStores({
      onLifted: (rank, report) => this.requests.hearLift(rank, report),
      onNews: (rank, news) => {
        if (news.notice !== undefined) parts.onNotice?.(`rank ${rank} ${news.notice}`);
        this.requests.hearStore(rank, news);
      },
    });
    this.arrivals = new Arrivals({
      ...{ pulls: this.pool.pulls, host: this.requests, identity: this.kvIdentity, config: config.cluster },
      ...{ blockSize: limits.blockSize, timeoutMs: config.comm.timeout_ms },
    });
    const observers: StepObserver[] = [{ observe: ({ load_LE }) => window.push(load_LE) }, this.collector, this.speeds];
    observers.push(this.experts, this.pool);
    const onScale: OnScale = (event) => {
      parts.onScale?.(event);
      watchers.scale(event);
    };
    this.scaler = config.comm.on_peer_loss === 'recover' ? this.scalerOf(onScale) : null;
    if (this.scaler !== null) observers.push(this.scaler);
    job.watchLeaving((rank) => this.scaler?.leave(rank));
    if (observer !== undefined)
      observers.push(
        recordingObserver(observer, {
          ...{ width, look: this.recorded, numSlices: numSlicesOf(spec) },
          numRanks: () => this.collector.numRanks,
        }),
      );
    observers.push({ observe: (step) => watchers.step(step), enter: (change) => watchers.enter(change) });
    const onEachLoss: OnLoss = (loss) => {
      onLoss?.(loss);
      watchers.loss(loss);
    };
    const isResumed = job.members.epoch > 0;
    this.loop = new StepLoop({
      ...{ job, requests: this.requests, placement: this.live, experts: this.experts, speeds: this.speeds, observers },
      onLoss: onEachLoss,
      resumed: isResumed ? job.members : null,
      route: (plans) => (routing === null ? plans : withForcedExperts(plans, routing, width)),
    });
    if (isResumed) this.loop.start(); // what is missing is recovered before anybody asks
    void job.failed.then((error) => this.requests.fail(error));
    void this.requests.closed.then((error) => {
      this.experts.fail(error);
      this.scaler?.fail(error);
      this.arrivals.fail(error);
      this.pool.fail(error);
    });
  }

  /**
   * Checks model and configuration, starts the ranks and waits until all have loaded and see each other.
   * @throws ConfigError, WeightError, ModelError, TokenizerError, CommError or EngineError: what is wrong, and what to do.
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const { config: asked } = (options as EngineOptions | undefined) ?? {};
    checkConfig(asked);
    checkCompute(asked);
    const model = options.model ?? (await openModel(asked));
    const { limits, plugins } = model;
    const numRanks = asked.parallel.ranks + (options.numExternalRanks ?? 0);
    const { config, spec, placement, routing } = await settledStart(asked, model, numRanks);
    const looks = checkedHooks(options.hooks ?? [], 'hooks', spec).map(({ look }) => look);
    checkLooks(looks, spec, limits.maxToldBytes);
    const ranks = {
      numLocalRanks: config.parallel.ranks,
      plugins: plugins.plugins,
      gate: model.gate,
      codecs: model.codecs,
      storeIdentity: model.storeIdentity,
    };
    const order = { ...options, config, ...ranks, spec, limits, placement };
    const started = options.resume === true ? await resumeJob(order) : { job: await startJob(order), placement };
    return new Engine({ ...options, config, ...model, spec, ...started, routing });
  }

  /** The placement in force, of all seats up to the highest that was ever taken; what lost ranks held is still in it. */
  get placement(): Placement {
    const { whole } = this.live;
    const { numRanks } = this.collector;
    if (whole !== this.shown.whole || numRanks !== this.shown.seen.numRanks) {
      this.shown = { whole, seen: this.seen(whole, numRanks) };
    }
    return this.shown.seen;
  }

  /** Ranks that the job can have at a time. */
  get numSeats(): number {
    return this.parts.job.numSeats;
  }

  /** @throws EngineError INVALID_REQUEST, CONTEXT_LENGTH_EXCEEDED, NO_TOKENIZER, QUEUE_FULL, SOURCE_LOST; later, whatever ended the job. */
  async *generate(given: GenerationRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent, void, undefined> {
    const request = checkedGeneration(given, signal);
    const sequence = this.nextSequence++;
    const asked = this.samplingOf(request, sequence);
    const followed = request.source === undefined ? null : await this.follow(request, asked, signal);
    if (followed === null) this.check(request);
    const sampling = followed === null ? asked : { ...asked, seed: followed.state.seed };
    const {
      promptTokenIds,
      outputTokenIds = [],
      maxNewTokens,
      returnRoutedExperts = false,
      priority = 0,
      pinMs = 0,
    } = request;
    const generation = new Generation(request, sampling, this);
    if (followed === null && generation.resume(outputTokenIds) !== null) {
      yield* generation.events;
      return;
    }
    const routedExperts = returnRoutedExperts || this.parts.observer?.wantsTokens === true;
    const { logprobs = null, promptLogprobs = null } = request;
    const hooks = [...this.hooksOf(request), ...routerLogitsHook(generation, request, this.spec)];
    const wants = { routedExperts, logprobs, promptLogprobs, logits: false, ...this.looksOf(hooks) };
    const endTokenIds = this.endTokenIdsOf(request);
    const rest = { promptTokenIds, maxNewTokens, sampling, endTokenIds, wants, priority, pinMs };
    const known = followed === null ? { outputTokenIds } : { outputTokenIds: followed.outputTokenIds, arrives: true };
    const hasHolders = followed === null && request.holders !== undefined;
    const isQueued = hasHolders ? this.coming.begin(request.id) : () => undefined;
    let lent: Awaited<ReturnType<Engine['borrow']>> = {};
    try {
      if (hasHolders) lent = await this.borrow(request.holders, { ...rest, ...known }, signal);
      const queued = { sequence, ...rest, ...known, ...lent };
      const arrival = followed && this.arrivals.arrivalOf(queued, followed);
      const extras = {
        id: request.id,
        hooks: this.toldHooks(hooks, queued, request.id),
        ...movability(request),
        arrival,
      };
      const release = this.requests.add(queued, generation, signal, extras);
      isQueued();
      arrival?.start();
      this.loop.start();
      try {
        yield* generation.events;
      } finally {
        release();
      }
    } finally {
      isQueued();
      lent.loan?.close();
    }
  }

  /** Fulfilled when a request of that name is known: those with {@link GenerationRequest.holders} are it when these have answered. Also where there is none. */
  queued(id: string): Promise<void> {
    return this.coming.over(id);
  }

  /**
   * Has another instance go on with a {@link GenerationRequest.movable} request, which is known by its `id` and runs, or waits. One that is handed over has its offer
   * from its beginning on: that is returned.
   * @throws EngineError NOT_MOVABLE: there is no such request, or it is offered already; QUEUE_FULL: too many are
   */
  offer(id: string, options?: OfferOptions): Offer {
    return this.requests.offer(id, options);
  }

  /**
   * Lets whoever knows the loan's token read the longest beginning of these keys (block_keys.ts, seeded as {@link prefixSharing} says) that one rank has, in its cache or its
   * tiers. Null: no rank has the first one, or nobody can read there (`cluster.enabled`, `engine.kv_pool`).
   * @throws EngineError QUEUE_FULL: too many loans are open
   */
  lend(keys: readonly string[]): Loan | null {
    const isLending = this.failure === null && this.prefixSharing !== null && isPooled(this.parts.config);
    return isLending ? this.pool.lending.lend(keys) : null;
  }

  /**
   * Brings blocks of other instances here, for whoever asks next: the beginning of these keys, of the first holder that has more of it than is here. Resolves with how many
   * came; 0 where none did, or there is no room.
   * @throws EngineError INVALID_REQUEST, QUEUE_FULL, CLOSED
   */
  async fetch(keys: readonly string[], holders: readonly BlockHolder[], signal?: AbortSignal): Promise<number> {
    if (keys.length > MAX_LOAN_BLOCKS || !keys.every((key) => key.length === KEY_BYTES)) {
      throw new EngineError('INVALID_REQUEST', `"keys" are no keys of at most ${MAX_LOAN_BLOCKS} KV blocks`);
    }
    if (this.failure !== null) throw this.failure;
    if (this.prefixSharing === null || !isPooled(this.parts.config)) return 0;
    const loan = await this.pool.borrow(holders, keys, signal);
    if (loan === null) return 0;
    try {
      return await this.requests.bring(this.nextSequence++, keys.slice(0, loan.numBlocks), loan, signal);
    } finally {
      loan.close();
    }
  }

  /** Log-probabilities of a text's tokens. Errors as those of {@link generate}. */
  async score(given: ScoreRequest, signal?: AbortSignal): Promise<ScoreResult> {
    const request = checkedScore(given, signal);
    const { tokenIds: promptTokenIds, onLogits } = request;
    if (promptTokenIds.length < 2) {
      throw new EngineError('INVALID_REQUEST', `${promptTokenIds.length} tokens to score; give at least 2`);
    }
    checkTokens(promptTokenIds, 0, this);
    this.checkQueue();
    const sequence = this.nextSequence++;
    const score = new Score(request, this.spec);
    const hooks = this.hooksOf(request);
    const logits = onLogits !== undefined;
    const wants = { routedExperts: true, logprobs: null, promptLogprobs: 0, logits, ...this.looksOf(hooks, logits) };
    const queued = { sequence, promptTokenIds, maxNewTokens: 0, sampling: GREEDY, wants };
    this.requests.add(queued, score, signal, { hooks: this.toldHooks(hooks, queued) });
    this.loop.start();
    return score.result; // given up by the signal alone
  }

  /** Tells `observer` of steps, requests, losses and rebalances from now on; returns how to stop that. */
  watch(observer: EngineObserver): () => void {
    return this.watchers.add(observer);
  }

  /** What waits and what runs at this moment. */
  get load(): SchedulerLoad {
    return this.scheduler.load;
  }

  /** Requests that run and wait, one by one: `most` of them at most. */
  sequenceLoads(most: number): SequenceLoads {
    return this.scheduler.sequenceLoads(most);
  }

  /** Whether a request, by its number, can be offered to other instances now. */
  isMovable(sequence: number): boolean {
    return this.requests.isMovable(sequence);
  }

  /** Full KV blocks that requests may begin with, for one who follows them: what they take is told to nobody else. Null: nothing is shared. */
  get storedBlocks(): StoredBlocks | null {
    return this.scheduler.storedBlocks;
  }

  /**
   * Has all ranks forget the keys and values that they keep for later requests. False, and nothing is forgotten, while requests run: what they compute
   * goes on from what they hold.
   */
  resetPrefixCache(): boolean {
    return this.requests.resetPrefixCache();
  }

  /** What ended the engine, after which it takes no request: CLOSED where that was {@link close}. Null while it works. */
  get failure(): Error | null {
    return this.requests.failure;
  }

  /** Resolves with {@link failure}, once there is one. */
  get closed(): Promise<Error> {
    return this.requests.closed;
  }

  /**
   * Plans from the load of the last steps and moves experts now, whatever it gains; resolves when they have moved, which takes steps.
   * @throws EngineError INVALID_REQUEST: experts stay where they are, are being moved already, or no step has run; REBALANCE_FAILED, CLOSED
   */
  async rebalance(signal?: AbortSignal): Promise<AskedRebalance> {
    return this.experts.rebalance(signal);
  }

  /** Ranks come or go because somebody wanted it. */
  get isScaling(): boolean {
    return this.scaler?.isScaling === true;
  }

  /**
   * Gives the job so many ranks while it runs; resolves when those that came have their experts, and those that were to go have gone. When `signal` is
   * aborted, newcomers that aren't in yet are sent away, and who is still on the way out stays.
   * @throws EngineError INVALID_REQUEST: no number of ranks that this job can have, or it is being scaled already; SCALE_FAILED; CLOSED
   */
  async scale(numRanks: number, signal?: AbortSignal): Promise<Scaled> {
    if (this.scaler !== null) return this.scaler.scale(numRanks, signal);
    const text = 'ranks come and go where comm.on_peer_loss is recover alone (ranks that are processes, num_nodes 1)';
    throw new EngineError('INVALID_REQUEST', `${text}; start with that`);
  }

  /** What the job did so far. */
  stats(): EngineStats {
    return {
      ...this.collector.stats(),
      ...this.scheduler.counts,
      rebalancing: this.experts.stats(),
      speeds: this.speeds.stats(this.collector.numRanks),
      scaling: this.scaler?.stats() ?? null,
      arrivals: this.arrivals.counts,
      pool: structuredClone(this.poolCounts),
    };
  }

  /**
   * Nothing new is to come: ranks stay for what still runs, whoever of them asks to leave, and no other head is to take them over: they end with this
   * process, also where it is killed before {@link close} (`parallel.head_grace_ms`).
   */
  endGrace(): void {
    this.parts.job.endGrace();
    this.scaler?.settle();
  }

  /** Ends all ranks; running requests end with CLOSED. Idempotent. */
  async close(): Promise<void> {
    this.requests.fail(closed());
    await this.parts.job.close();
    this.experts.fail(closed());
    await this.experts.close();
    await this.loop.idle();
  }

  /** Whether it can run here, and there is room to wait for it. @throws EngineError */
  /** With whole experts, of seats that were taken. */
  private seen(whole: Placement, numRanks: number): Placement {
    return wholePlacement(usedSeats(whole, numRanks), numSlicesOf(this.spec));
  }

  private check(request: CheckedGeneration): void {
    checkGeneration(request, this, this.parts.config.model);
    checkMovable(request);
    if (request.outputTokenIds === undefined) this.checkQueue();
  }

  /**
   * The source of a request that can run here; null: it is lost, and the request goes on with what it says itself. Where it is refused, it goes on there.
   * @throws EngineError SOURCE_LOST: others may have seen tokens of a seed that isn't known; as {@link check}
   */
  private async follow(
    request: CheckedGeneration,
    sampling: SamplingParams,
    signal?: AbortSignal,
  ): Promise<FollowedSource | null> {
    const source = request.source!;
    const { promptTokenIds, outputTokenIds = [], maxNewTokens } = request;
    const seed = request.sampling?.seed ?? null;
    const { vocabSize } = this.spec;
    try {
      this.check(request);
      return await this.arrivals.follow(
        source,
        { promptTokenIds, outputTokenIds, maxNewTokens, seed, vocabSize },
        signal,
      );
    } catch (error) {
      source.rollback().catch(() => undefined);
      const isLost = error instanceof EngineError && error.code === 'SOURCE_LOST';
      if (isLost && (seed !== null || sampling.temperature === 0)) return null;
      throw error;
    }
  }

  /** @throws EngineError QUEUE_FULL. Why: docs/decisions/requests.md#the-queue-has-a-limit */
  private checkQueue(): void {
    const { max_num_waiting: most } = this.parts.config.engine;
    const numQueued = this.scheduler.numQueued + this.coming.size;
    if (numQueued < most) return;
    throw new EngineError(
      'QUEUE_FULL',
      `${numQueued} requests wait already, and engine.max_num_waiting is ${most}; try again later, or raise it`,
    );
  }

  /** Blocks of its beginning that other instances lend. @throws EngineError CLOSED */
  private async borrow(
    holders: readonly BlockHolder[],
    request: Pick<SequenceRequest, 'promptTokenIds' | 'outputTokenIds' | 'wants'>,
    signal?: AbortSignal,
  ): Promise<Pick<SequenceRequest, 'loan' | 'firstKeys'>> {
    if (!isPooled(this.parts.config)) return {};
    const firstKeys = this.scheduler.firstKeysOf(request);
    return { firstKeys, loan: await this.pool.borrow(holders, firstKeys, signal) };
  }

  private scalerOf(onScale: OnScale): Scaler {
    const { job, config, limits } = this.parts;
    return new Scaler({
      ...{ job, config: config.elastic, maxNumSeqs: limits.maxNumSeqs, numCores: availableParallelism(), onScale },
      load: () => this.scheduler.load,
      prepare: () => this.experts.prepare(),
      spread: (why) => this.experts.spread(why),
      numMovedExperts: () => this.experts.numMoved,
      drained: (rank, signal) => this.requests.drained(rank, signal),
    });
  }

  /** A rank that fell behind is named, and gives its experts away where that is wanted. */
  private sped(event: SpeedEvent): void {
    const { config, job, onSpeed } = this.parts;
    onSpeed?.(event);
    this.watchers.speed(event);
    if (event.kind === 'late_link' || config.parallel.on_slow !== 'demote') return;
    job.setDemoted(event.rank, event.kind === 'slow').catch(() => undefined); // gone meanwhile, or the job is over
  }

  private samplingOf(request: GenerationRequest, sequence: number): SamplingParams {
    const drawn = Math.floor(uniform(this.parts.config.engine.seed, 0, sequence) * 2 ** 32);
    const params = { ...GREEDY, seed: drawn, ...request.sampling };
    checkSampling(params);
    checkSampledTokens(params, { vocabSize: this.spec.vocabSize, endTokenIds: this.endTokenIdsOf(request) });
    const { logitBias, allowedTokenIds } = params;
    // Copies: the caller's lists may change, and say a token twice.
    const allowed = allowedTokenIds === null ? null : [...new Set(allowedTokenIds)];
    return { ...params, logitBias: logitBias.map(([id, bias]) => [id, bias] as const), allowedTokenIds: allowed };
  }

  /** @throws EngineError INVALID_REQUEST */
  private hooksOf({ hooks = [] }: GenerationRequest | ScoreRequest): readonly CheckedHook[] {
    return hooks.length === 0 ? this.hooks : [...this.hooks, ...checkedHooks(hooks, 'hooks', this.spec)];
  }

  /** What the hooks want of ranks. `logits`: they travel with it. @throws EngineError INVALID_REQUEST where it is too much of one token */
  private looksOf(hooks: readonly CheckedHook[], logits = false): Pick<SequenceWants, 'looks'> {
    const looks = [...hooks.map(({ look }) => look), ...(this.recorded === null ? [] : [this.recorded])];
    if (looks.length === 0) return {};
    checkLooks(looks, this.spec, this.limits.maxToldBytes - (logits ? 4 * this.spec.vocabSize : 0));
    return { looks };
  }

  private toldHooks(
    hooks: readonly CheckedHook[],
    { sequence, promptTokenIds }: Pick<SequenceRequest, 'sequence' | 'promptTokenIds'>,
    id: string | null = null,
  ): ToldHooks | null {
    if (hooks.length === 0) return null;
    return new ToldHooks(hooks, { sequence, id, numPromptTokens: promptTokenIds.length, spec: this.spec });
  }

  /** The model's own, also where they end nothing: vLLM keeps them back before `min_tokens` all the same (sampling_params.py). */
  private endTokenIdsOf({ stopTokenIds = [] }: GenerationRequest): readonly number[] {
    return [...new Set([...this.spec.eosTokenIds, ...stopTokenIds])];
  }
}

/** That a tier brings in any case, where it isn't broken: 1 MiB/s. */
const SLOWEST_BYTES_PER_MS = 1048;

const closed = (): EngineError => new EngineError('CLOSED', 'the engine was closed; start another');

/** What keys and values depend on besides the model and its configuration. */
const sharingOf = ({ job, plugins, gate }: EngineParts): SharingFacts => ({
  fma: job.reports.some(({ kernels }) => kernels?.fma === true),
  computes: [
    ...new Set(job.reports.map(({ backend, kernels }) => `${backend} ${kernels === null ? 'tensors' : 'kernels'}`)),
  ].sort(),
  plugins: plugins.plugins.map(({ code, options }) => ({ code: code.digest, options })),
  gate,
});
