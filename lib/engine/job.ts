/** The ranks of one job as the head sees them: started, fed with steps, watched, and ended. */
import { randomBytes } from 'node:crypto';
import type { ControlLink } from '../../comm/control_link.js';
import { Deadline } from '../../comm/deadline.js';
import { CommError } from '../../comm/errors.js';
import type { ControlMessage, RemoteError } from '../../comm/messages.js';
import { Rendezvous } from '../../comm/rendezvous.js';
import type { TimelineEvent } from '../metrics/timeline.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec.js';
import { EngineError } from './errors.js';
import { FirstCause } from './first_cause.js';
import type { EngineLimits } from './limits.js';
import { LocalRanks, type RankExit } from './local_ranks.js';
import { checkTransport } from './transport.js';
import type { RankJob } from './rank_job.js';
import type { HeadToRank, LoadReport, RankToHead, StepPlan, StepResult } from './step_plan.js';

export interface JobOptions {
  readonly config: ExpertwireConfig;
  readonly spec: ModelSpec;
  readonly limits: EngineLimits;
  /** Rank processes to start on this machine: ranks 0 … numLocalRanks − 1. */
  readonly numLocalRanks: number;
  /** Ranks that join from elsewhere. Default 0. */
  readonly numExternalRanks?: number;
  /** Where ranks join. Default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** Address under which ranks elsewhere reach those of this machine. Default: the one they reach the head by. */
  readonly advertise?: string;
  /** The job secret; needed for external ranks. Default: a random one. */
  readonly secret?: string;
  /** Longest time without news while ranks join and load. Default 600000. */
  readonly joinTimeoutMs?: number;
  /** A rank that asked to join and was turned away, and why. */
  readonly onRefused?: (error: Error) => void;
  /** How far a rank's loading is, 0 … 1. */
  readonly onProgress?: (rank: number, fraction: number) => void;
  /** What a rank did when, after each step; ranks collect it only where this is given. */
  readonly onTimeline?: (rank: number, events: readonly TimelineEvent[]) => void;
  /** What a local rank wrote to its standard output or error. */
  readonly onRankLog?: (rank: number | null, line: string) => void;
  readonly signal?: AbortSignal;
}

/** How long a rank of this machine looks for the head that started it. */
const LOCAL_JOIN_TIMEOUT_MS = 60_000;
/** Longest time without news while ranks join and load: machines of one job may have to be set up first. */
const DEFAULT_JOIN_TIMEOUT_MS = 600_000;
/** What a timer can count. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The step that runs: results by rank, until all are there. */
interface RunningStep {
  readonly step: number;
  readonly results: (StepResult | undefined)[];
  resolve(results: StepResult[]): void;
  reject(error: EngineError): void;
}

export class Job {
  readonly reports: readonly LoadReport[];
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly parts: JobParts;
  private readonly stepTimeoutMs: number;
  private running: RunningStep | null = null;
  /** The last step that began. */
  private lastStep = 0;
  /** Why no step can run any more. */
  private ended: EngineError | null = null;
  private closing: Promise<void> | null = null;

  private constructor(parts: JobParts, reports: readonly LoadReport[], stepTimeoutMs: number) {
    this.parts = parts;
    this.reports = reports;
    this.stepTimeoutMs = stepTimeoutMs;
    this.failed = parts.cause.found.then(async (error) => {
      await this.end(error, { gracefully: false });
      return error;
    });
    parts.links.forEach((link, rank) => this.listen(link, rank));
  }

  /** @throws CommError, EngineError: what a rank or the network got wrong; then every process and port is closed. */
  static async start(options: JobOptions): Promise<Job> {
    const { config, spec, numLocalRanks, numExternalRanks = 0, signal } = options;
    checkTransport(config.comm, numExternalRanks);
    const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
    const secret = options.secret ?? randomBytes(32).toString('hex');
    const rendezvous = await Rendezvous.listen({
      host,
      port,
      secret,
      size: numLocalRanks + numExternalRanks,
      numReserved: numLocalRanks,
      job: rankJobOf(options),
      timeoutMs: options.joinTimeoutMs ?? DEFAULT_JOIN_TIMEOUT_MS,
      signal,
      ...(options.onRefused && { onRefused: options.onRefused }),
      onProgress: (rank, { fraction }) => options.onProgress?.(rank, fraction),
    });
    const cause = new FirstCause();
    const local = new LocalRanks({
      ranks: Array.from({ length: numLocalRanks }, (_, rank) => rank),
      asThreads: config.comm.transport === 'threads',
      order: {
        head: { host, port: rendezvous.port },
        secret,
        joinTimeoutMs: LOCAL_JOIN_TIMEOUT_MS,
        ...(options.advertise !== undefined && { advertise: options.advertise }),
      },
      ...(options.onRankLog && { onLog: options.onRankLog }),
    });
    const onExit = (exit: RankExit): void => cause.report({ kind: 'exit', from: exit.rank, error: exitError(exit) });
    for (const exit of local.exits) void exit.then(onExit);
    try {
      const links = await firstOf(rendezvous.links(), cause.found).catch((error: unknown) =>
        nearestCause(error, cause),
      );
      const reports = await firstOf(Promise.all(links.map(firstReport)), cause.found);
      const stepTimeoutMs = Math.min(config.comm.timeout_ms * (spec.layers.length + 1), MAX_TIMER_MS);
      const { onTimeline } = options;
      return new Job({ rendezvous, local, links, cause, onTimeline }, reports, stepTimeoutMs);
    } catch (error) {
      cause.close();
      await rendezvous.close();
      await local.close({ gracefully: false });
      throw error;
    }
  }

  get numRanks(): number {
    return this.parts.links.length;
  }

  /** Runs one step on all ranks; rejects with the first cause when one fails, is lost or takes too long, and with CLOSED when the job is closed. */
  async step(plans: readonly StepPlan[]): Promise<StepResult[]> {
    if (this.ended !== null) throw this.ended;
    const { step } = plans[0]!;
    this.lastStep = step;
    const deadline = new Deadline(this.stepTimeoutMs, () => this.accuseLate());
    try {
      // A promise of its own for each step: racing against one that outlives it would keep every step's results alive.
      return await new Promise((resolve, reject) => {
        this.running = { step, results: plans.map(() => undefined), resolve, reject };
        plans.forEach((plan, rank) => this.send(rank, { kind: 'step', plan }));
      });
    } finally {
      deadline.cancel();
      this.running = null;
    }
  }

  /** Sequences that are over. */
  free(rank: number, sequences: readonly number[]): void {
    this.send(rank, { kind: 'free', sequences });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end(new EngineError('CLOSED', 'the job was closed; start another'), { gracefully: true });
  }

  private send(rank: number, body: HeadToRank): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private listen(link: ControlLink, rank: number): void {
    link.onMessage((message) => this.onMessage(rank, message));
    void link.closed.then((why) => {
      if (this.ended !== null) return;
      const how = why.kind === 'lost' ? why.why : 'closed';
      const text = `the connection to rank ${rank} ended${this.when()} (${how}); look at its log and start the job again`;
      this.parts.cause.report({ kind: 'disconnect', from: rank, error: new EngineError('RANK_LOST', text, { rank }) });
    });
  }

  private onMessage(rank: number, message: ControlMessage): void {
    if (message.type === 'failed') return this.onFailed(rank, message.error);
    if (message.type !== 'job') return;
    const body = message.body as RankToHead;
    const { running } = this;
    if (body.kind !== 'result' || body.result.step !== running?.step) return;
    running.results[rank] = body.result;
    if (body.result.timeline !== undefined) this.parts.onTimeline?.(rank, body.result.timeline);
    const results = running.results.filter((result) => result !== undefined);
    if (results.length === running.results.length) running.resolve(results);
  }

  /** A rank that complains about another one is a witness, not the cause. */
  private onFailed(rank: number, { code, message, rank: about }: RemoteError): void {
    if (this.ended !== null) return;
    const isAccusation = about !== undefined && about !== rank;
    const text = `rank ${rank} failed${this.when()}: ${message}`;
    const error = new EngineError(isAccusation && code === 'TIMEOUT' ? 'TIMEOUT' : 'RANK_FAILED', text, {
      rank: about ?? rank,
    });
    this.parts.cause.report({ kind: isAccusation ? 'accusation' : 'own_failure', from: rank, error });
  }

  private accuseLate(): void {
    const results = this.running?.results ?? [];
    const late = results.flatMap((result, rank) => (result === undefined ? [rank] : []));
    const text =
      `rank ${late.join(', ')} did not finish step ${this.lastStep} within ${this.stepTimeoutMs} ms ` +
      '(comm.timeout_ms for each layer); look at its log, or raise comm.timeout_ms';
    const error = new EngineError('TIMEOUT', text, { rank: late[0]! });
    this.parts.cause.report({ kind: 'deadline', from: null, error });
  }

  private when(): string {
    return this.lastStep === 0 ? ' before the first step' : ` in step ${this.lastStep}`;
  }

  private end(why: EngineError, how: { readonly gracefully: boolean }): Promise<void> {
    this.ended ??= why;
    this.running?.reject(why);
    this.closing ??= this.shutDown(why, how);
    return this.closing;
  }

  /** Ranks elsewhere learn whether the job ended well: their exit code says it. */
  private async shutDown(
    { code, message }: EngineError,
    { gracefully }: { readonly gracefully: boolean },
  ): Promise<void> {
    const { links, local, rendezvous, cause } = this.parts;
    cause.close();
    const last: ControlMessage = gracefully
      ? { type: 'shutdown', reason: message }
      : { type: 'failed', error: { code, message } };
    for (const link of links) if (link.isOpen) link.send(last);
    // Local ranks first: those that end by themselves close their links without a reset.
    await local.close({ gracefully });
    await rendezvous.close();
  }
}

interface JobParts {
  readonly rendezvous: Rendezvous;
  readonly local: LocalRanks;
  readonly links: readonly ControlLink[];
  readonly cause: FirstCause;
  readonly onTimeline: JobOptions['onTimeline'];
}

function rankJobOf({ config, spec, limits, onTimeline }: JobOptions): RankJob {
  return {
    model: config.model,
    spec,
    backend: config.backend,
    placement: config.experts.placement,
    reduce: config.comm.reduce,
    wire: config.comm.wire,
    microBatches: config.comm.micro_batches,
    ioThread: config.comm.io_thread,
    trace: onTimeline !== undefined,
    mla: config.engine.mla,
    timeoutMs: config.comm.timeout_ms,
    blockSize: limits.blockSize,
    maxNumBatchedTokens: limits.maxNumBatchedTokens,
  };
}

/** `work`, unless the job fails first: then the first cause is thrown. */
async function firstOf<T>(work: Promise<T>, failure: Promise<EngineError>): Promise<T> {
  const outcome = await Promise.race([work.then((value) => ({ value })), failure]);
  if (outcome instanceof EngineError) throw outcome;
  return outcome.value;
}

/** A connection that closed is an effect: what closed it is told a moment later, by the process's end. */
async function nearestCause(error: unknown, cause: FirstCause): Promise<never> {
  if (!(error instanceof CommError) || error.code !== 'PEER_LOST') throw error;
  const { rank = null } = error;
  const lost = new EngineError('RANK_LOST', error.message.replace('PEER_LOST: ', ''), rank === null ? {} : { rank });
  cause.report({ kind: 'disconnect', from: rank, error: lost });
  throw await cause.found;
}

/** The first thing that a linked rank says. */
function firstReport(link: ControlLink, rank: number): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void =>
      reject(
        new EngineError('RANK_LOST', `rank ${rank} left before the first step: ${why}; look at its log`, { rank }),
      );
    void link.closed.then((why) => fail(why.kind === 'lost' ? why.why : 'its connection closed'));
    link.onMessage((message) => {
      if (message.type === 'failed') fail(message.error.message);
      if (message.type !== 'job') return;
      link.onMessage(undefined);
      resolve((message.body as Extract<RankToHead, { kind: 'loaded' }>).report);
    });
  });
}

function exitError({ rank, pid, code, signal }: RankExit): EngineError {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
  const who = rank === null ? 'the process of all ranks' : `rank ${rank}`;
  const text = `${who} (process ${pid ?? '?'}) ${how}, and its experts with it; look at its last lines above and start the job again`;
  return new EngineError('RANK_LOST', text, rank === null ? {} : { rank });
}
