/** How requests run on the engine: each for its client alone, or kept for whoever asks for it by its name, in a journal that another head goes on from. */
import { uniform } from '../../../base/philox.js';
import type { Logger } from 'pino';
import { ConfigError } from '../../config/errors.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { ApiError } from '../base/api_error.js';
import type { ServerContext } from '../base/part.js';
import { apiErrorOf, isFailure } from '../http/error_answers.js';
import { begun, deltasOf, type Delta } from '../openai/requests/choice_deltas.js';
import type { Choice } from '../openai/requests/choices.js';
import { Journal } from './journal.js';
import { modelDigest } from './journal_lines.js';
import { KeptRequest, type Asked } from './kept_request.js';
import { behind, completed } from './resumed_choices.js';

/** A request that the engine took. */
export interface StartedRequest {
  /** As they run: with seeds of their own, where others were drawn. */
  readonly choices: readonly Choice[];
  readonly deltas: AsyncIterable<readonly Delta[]>;
}

/** Runs the choices of a request. */
export interface RequestRuns {
  /**
   * What comes of them, as {@link deltasOf} tells it. It ends when `signal` is aborted, and when the loop over it is left.
   * @throws what the engine refuses at once; ApiError JOURNAL_FAILED
   */
  start(asked: Asked, choices: readonly Choice[], signal: AbortSignal): Promise<StartedRequest>;
  /** What one of `owner` is called so: its answer's id, or its client's name for it. Undefined: there is none, or it isn't kept. */
  find(name: string, owner: string): KeptRequest | undefined;
  /** Whether any are kept. */
  readonly areKept: boolean;
}

/** For their clients alone. */
export const unkeptRuns = (engine: ServerContext['engine']): RequestRuns => ({
  start: async (_asked, choices, signal) => ({ choices, deltas: await begun(deltasOf(engine, choices, signal)) }),
  find: () => undefined,
  areKept: false,
});

/** Requests that are over: how many are kept, and how many bytes of them. */
const MAX_OVER = 1000;
const MAX_OVER_BYTES = 64 * 2 ** 20;

/** Numbers of seeds, apart from those that the engine draws. */
const SEED_STREAM = 1;

/** What kept requests run on. */
export type KeptRunsParts = Pick<ServerContext, 'engine' | 'ending'> & {
  readonly journal: Journal;
  readonly log: Logger;
  /** `engine.seed`. */
  readonly seed: number;
};

/** What can be told of `server.journal` before an engine is started. @throws ConfigError as {@link openKeptRuns} does */
export async function checkKeptRuns(config: ServerContext['config'], spec: ModelSpec): Promise<void> {
  const { journal: file } = config.server;
  if (file === null) return;
  checkRouting(config);
  await Journal.check({ file, model: modelDigest(spec) });
}

/** Runs that are kept in a journal, which is read. @throws ConfigError where it can't be used */
export async function openKeptRuns(file: string, context: ServerContext): Promise<KeptRuns> {
  const { engine, ending, log, config } = context;
  checkRouting(config);
  const journal = await Journal.open({ file, model: modelDigest(engine.spec), warn: (text) => log.warn(text) });
  return new KeptRuns({ engine, ending, log, journal, seed: config.engine.seed });
}

/** @throws ConfigError INVALID_VALUE */
function checkRouting({ experts }: ServerContext['config']): void {
  if (experts.routing === 'gate') return;
  const text =
    '"server.journal" is set, but experts are chosen by "experts.routing", by the number of a request; leave one of them out';
  throw new ConfigError('INVALID_VALUE', text, { key: 'server.journal' });
}

/** In a journal. */
export class KeptRuns implements RequestRuns {
  readonly areKept = true;
  /** All that are kept, oldest first. */
  private readonly kept = new Set<KeptRequest>();
  private readonly working = new Set<Promise<void>>();
  private nextNumber = 0;

  constructor(private readonly parts: KeptRunsParts) {
    for (const kept of parts.journal.found) {
      this.kept.add(kept);
      this.nextNumber = Math.max(this.nextNumber, kept.record.number + 1);
    }
    this.forgetOld();
  }

  /** Goes on with what earlier heads did not finish; how many that are. */
  resume(): number {
    const { engine, ending } = this.parts;
    const open = [...this.kept].filter(({ isOver }) => !isOver);
    for (const kept of open) {
      const before = kept.soFar;
      const choices = behind(kept.record.choices, before);
      const more = deltasOf(engine, choices, ending);
      this.begin(kept, completed(more, kept.record.choices, before), ending);
    }
    return open.length;
  }

  async start(asked: Asked, choices: readonly Choice[], signal: AbortSignal): Promise<StartedRequest> {
    const { engine, journal } = this.parts;
    const number = this.nextNumber++;
    const seeded = choices.map((choice) => withSeed(choice, this.parts.seed, number));
    const kept = new KeptRequest({ number, asked, choices: seeded });
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const source = await begun(deltasOf(engine, seeded, either));
    if (!(await journal.begin(kept))) {
      over.abort();
      throw new ApiError(
        'JOURNAL_FAILED',
        'the journal of this server can’t be written; ask another one, or try later',
      );
    }
    this.kept.add(kept);
    this.begin(kept, source, either);
    return { choices: seeded, deltas: untilLeft(kept.deltas(signal), over) };
  }

  /** Waits until nothing is written any more: after the server's end. */
  async close(): Promise<void> {
    await Promise.all(this.working);
    await this.parts.journal.close();
  }

  find(name: string, owner: string): KeptRequest | undefined {
    const isMeant = ({ record: { asked } }: KeptRequest): boolean =>
      asked.owner === owner && (asked.head.id === name || asked.name === name);
    return [...this.kept].findLast(isMeant);
  }

  private begin(kept: KeptRequest, source: AsyncIterable<readonly Delta[]>, signal: AbortSignal): void {
    const work = this.work(kept, source, signal).finally(() => this.working.delete(work));
    this.working.add(work);
  }

  /** Whoever hears of a token can hear of it again from another head. */
  private async work(kept: KeptRequest, source: AsyncIterable<readonly Delta[]>, signal: AbortSignal): Promise<void> {
    const { journal } = this.parts;
    try {
      for await (const deltas of source) {
        await journal.add(kept, deltas);
        kept.add(deltas);
      }
      kept.finish(null);
    } catch (thrown) {
      await this.fail(kept, thrown, signal);
    }
    this.forgetOld();
  }

  /** Another head goes on with what this one's end broke off. */
  private async fail(kept: KeptRequest, thrown: unknown, signal: AbortSignal): Promise<void> {
    const { engine, journal, ending, log } = this.parts;
    const isHeadsEnd = ending.aborted || engine.failure !== null;
    const error = apiErrorOf(ending.reason ?? engine.failure ?? thrown, engine.failure);
    kept.finish(error);
    if (isHeadsEnd) return;
    if (signal.aborted)
      this.kept.delete(kept); // its client left
    else if (isFailure(error)) log.error({ err: thrown }, 'a request failed');
    await journal.end(kept, signal.aborted ? null : error);
  }

  private forgetOld(): void {
    const over = [...this.kept].filter(({ isOver }) => isOver).reverse();
    let numBytes = 0;
    for (const [i, kept] of over.entries()) {
      numBytes += kept.numBytes;
      if (i >= MAX_OVER || numBytes > MAX_OVER_BYTES) this.kept.delete(kept);
    }
    const all = [...this.kept].reduce((sum, kept) => sum + kept.numBytes, 0);
    this.parts.journal.tidy(all, () => this.kept);
  }
}

/** Who breaks off the loop wants no more. */
async function* untilLeft<T>(values: AsyncIterable<T>, left: AbortController): AsyncGenerator<T, void, undefined> {
  try {
    yield* values;
  } finally {
    left.abort();
  }
}

/** A seed that no other head would draw again. */
function withSeed(choice: Choice, engineSeed: number, number: number): Choice {
  const seed = Math.floor(uniform(engineSeed, SEED_STREAM + choice.index, number) * 2 ** 32);
  return { ...choice, request: { ...choice.request, sampling: { seed, ...choice.request.sampling } } };
}
