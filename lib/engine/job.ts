/** The ranks of one job as the head sees them: started, fed with steps, watched, and ended. */
import { randomBytes } from 'node:crypto';
import type { ControlLink } from '../../comm/control_link.js';
import { Deadline } from '../../comm/deadline.js';
import type { ControlMessage, RemoteError } from '../../comm/messages.js';
import { Rendezvous } from '../../comm/rendezvous.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec.js';
import { EngineError } from './errors.js';
import { FirstCause } from './first_cause.js';
import type { EngineLimits } from './limits.js';
import { LocalRanks, type RankExit } from './local_ranks.js';
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
  /** How far a rank's loading is, 0 … 1. */
  readonly onProgress?: (rank: number, fraction: number) => void;
  /** What a local rank wrote to its standard output or error. */
  readonly onRankLog?: (rank: number | null, line: string) => void;
  readonly signal?: AbortSignal;
}

/** How long a rank of this machine looks for the head that started it. */
const JOIN_TIMEOUT_MS = 60_000;

/** A step that a rank waits for. */
interface Pending {
  resolve(result: StepResult): void;
  readonly result: Promise<StepResult>;
}

export class Job {
  readonly reports: readonly LoadReport[];
  /** Settles with the first cause when the job ends otherwise than by {@link close}. */
  readonly failed: Promise<EngineError>;
  private readonly parts: JobParts;
  private readonly pending: (Pending | null)[];
  private readonly stepTimeoutMs: number;
  private step_ = 0;
  private isClosing = false;
  private closing: Promise<void> | null = null;
  /** Settles when the job's end begins: a step that runs then gets no answer any more. */
  private readonly closed: Promise<EngineError>;
  private settleClosed!: (error: EngineError) => void;

  private constructor(parts: JobParts, reports: readonly LoadReport[], stepTimeoutMs: number) {
    this.parts = parts;
    this.reports = reports;
    this.stepTimeoutMs = stepTimeoutMs;
    this.closed = new Promise((resolve) => (this.settleClosed = resolve));
    this.pending = parts.links.map(() => null);
    this.failed = parts.cause.found.then(async (error) => {
      await this.end({ gracefully: false, reason: error.message });
      return error;
    });
    parts.links.forEach((link, rank) => this.listen(link, rank));
  }

  /** @throws CommError, EngineError: what a rank or the network got wrong; then every process and port is closed. */
  static async start(options: JobOptions): Promise<Job> {
    const { config, spec, numLocalRanks, numExternalRanks = 0, signal } = options;
    const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
    const secret = options.secret ?? randomBytes(32).toString('hex');
    const rendezvous = await Rendezvous.listen({
      host,
      port,
      secret,
      size: numLocalRanks + numExternalRanks,
      numReserved: numLocalRanks,
      job: rankJobOf(options),
      signal,
      onProgress: (rank, { fraction }) => options.onProgress?.(rank, fraction),
    });
    const cause = new FirstCause();
    const local = new LocalRanks({
      ranks: Array.from({ length: numLocalRanks }, (_, rank) => rank),
      order: {
        head: { host, port: rendezvous.port },
        secret,
        joinTimeoutMs: JOIN_TIMEOUT_MS,
        ...(options.advertise !== undefined && { advertise: options.advertise }),
      },
      ...(options.onRankLog && { onLog: options.onRankLog }),
    });
    const onExit = (exit: RankExit): void => cause.report({ kind: 'exit', from: exit.rank, error: exitError(exit) });
    for (const exit of local.exits) void exit.then(onExit);
    try {
      const links = await firstOf(rendezvous.links(), cause.found);
      const reports = await firstOf(Promise.all(links.map(firstReport)), cause.found);
      return new Job({ rendezvous, local, links, cause }, reports, config.comm.timeout_ms * (spec.layers.length + 1));
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
    this.step_ = plans[0]!.step;
    const results = plans.map((plan, rank) => {
      const pending = createPending();
      this.pending[rank] = pending;
      this.send(rank, { kind: 'step', plan });
      return pending.result;
    });
    const deadline = new Deadline(this.stepTimeoutMs, () => this.accuseLate());
    try {
      return await firstOf(Promise.all(results), Promise.race([this.parts.cause.found, this.closed]));
    } finally {
      deadline.cancel();
    }
  }

  /** Sequences that are over. */
  free(rank: number, sequences: readonly number[]): void {
    this.send(rank, { kind: 'free', sequences });
  }

  /** Ends all ranks. Idempotent. */
  async close(): Promise<void> {
    await this.end({ gracefully: true, reason: 'the job is over' });
  }

  private send(rank: number, body: HeadToRank): void {
    const link = this.parts.links[rank]!;
    if (link.isOpen) link.send({ type: 'job', body });
  }

  private listen(link: ControlLink, rank: number): void {
    link.onMessage((message) => this.onMessage(rank, message));
    void link.closed.then((why) => {
      if (this.isClosing) return;
      const how = why.kind === 'lost' ? why.why : 'closed';
      const text = `the connection to rank ${rank} ended${this.when()} (${how}); look at its log and start the job again`;
      this.parts.cause.report({ kind: 'disconnect', from: rank, error: new EngineError('RANK_LOST', text, { rank }) });
    });
  }

  private onMessage(rank: number, message: ControlMessage): void {
    if (message.type === 'failed') return this.onFailed(rank, message.error);
    if (message.type !== 'job') return;
    const body = message.body as RankToHead;
    if (body.kind !== 'result' || body.result.step !== this.step_) return;
    this.pending[rank]?.resolve(body.result);
    this.pending[rank] = null;
  }

  /** A rank that complains about another one is a witness, not the cause. */
  private onFailed(rank: number, { code, message, rank: about }: RemoteError): void {
    if (this.isClosing) return;
    const isAccusation = about !== undefined && about !== rank;
    const text = `rank ${rank} failed${this.when()}: ${message}`;
    const error = new EngineError(isAccusation && code === 'TIMEOUT' ? 'TIMEOUT' : 'RANK_FAILED', text, {
      rank: about ?? rank,
    });
    this.parts.cause.report({ kind: isAccusation ? 'accusation' : 'own_failure', from: rank, error });
  }

  private accuseLate(): void {
    const late = this.pending.flatMap((pending, rank) => (pending === null ? [] : [rank]));
    const text =
      `rank ${late.join(', ')} did not finish step ${this.step_} within ${this.stepTimeoutMs} ms ` +
      '(comm.timeout_ms for each layer); look at its log, or raise comm.timeout_ms';
    const error = new EngineError('TIMEOUT', text, { rank: late[0]! });
    this.parts.cause.report({ kind: 'deadline', from: null, error });
  }

  private when(): string {
    return this.step_ === 0 ? ' before the first step' : ` in step ${this.step_}`;
  }

  private end(how: { readonly gracefully: boolean; readonly reason: string }): Promise<void> {
    this.isClosing = true;
    this.settleClosed(new EngineError('CLOSED', `${how.reason}; start another`));
    this.closing ??= this.shutDown(how);
    return this.closing;
  }

  private async shutDown({
    gracefully,
    reason,
  }: {
    readonly gracefully: boolean;
    readonly reason: string;
  }): Promise<void> {
    const { links, local, rendezvous, cause } = this.parts;
    cause.close();
    for (const link of links) if (link.isOpen) link.send({ type: 'shutdown', reason });
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
}

function rankJobOf({ config, limits }: JobOptions): RankJob {
  return {
    model: config.model,
    backend: config.backend,
    placement: config.experts.placement,
    reduce: config.comm.reduce,
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

/** The first thing that a linked rank says. */
function firstReport(link: ControlLink): Promise<LoadReport> {
  return new Promise((resolve) => {
    link.onMessage((message) => {
      if (message.type !== 'job') return;
      link.onMessage(undefined);
      resolve((message.body as Extract<RankToHead, { kind: 'loaded' }>).report);
    });
  });
}

function createPending(): Pending {
  let resolve!: (result: StepResult) => void;
  const result = new Promise<StepResult>((settle) => (resolve = settle));
  return { resolve, result };
}

function exitError({ rank, pid, code, signal }: RankExit): EngineError {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
  const text = `rank ${rank ?? '?'} (process ${pid ?? '?'}) ${how}, and its experts with it; look at its last lines above and start the job again`;
  return new EngineError('RANK_LOST', text, rank === null ? {} : { rank });
}
