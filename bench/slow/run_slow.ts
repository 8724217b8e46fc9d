/** The same prompts on two jobs in turns: one that knows how fast its ranks are, and one that doesn't want to. */
import { closing } from '../../lib/commands/base/closing.js';
import type { GenerationRequest } from '../../lib/protocol/request.js';
import { promptsOf } from '../balance/traffic.js';
import { isSame, type Answer } from '../chaos/load/answer.js';
import { undisturbed } from '../chaos/load/undisturbed.js';
import { slowFigures, type SlowFigures, type Variant } from './figures.js';
import type { SlowOptions } from './options.js';
import { SlowSite, type SlowSiteOptions } from './slow_site.js';
import { StepCosts, type StepCost } from './step_costs.js';

/** What came of it. */
export interface SlowRun extends SlowFigures {
  /** Answers with a slow rank, and those of them that have the tokens of ranks that are alike. */
  readonly answers: number;
  readonly identical: number;
}

type How = Pick<SlowSiteOptions, 'onNotice' | 'signal'>;

/** Warm-ups in which the job finds out nothing more, after it found out something. */
const QUIET_WARM_UPS = 3;

/** Errors as those of `Engine.start`. */
export async function runSlow(options: SlowOptions, how: How): Promise<SlowRun> {
  const { factor, rounds } = options;
  return withJob(options, how, 'ignore', (ignoring) =>
    withJob(options, how, 'warn', async (sharing) => {
      const costs: Record<Variant, StepCost[]> = { even: [], ignored: [], shared: [] };
      const answers: Answer[] = [];
      await ignoring.run(1);
      await sharing.settle(factor);
      let expected: readonly Answer[] = [];
      for (let round = 0; round < rounds; round++) {
        const even = await ignoring.run(1);
        const ignored = await ignoring.run(factor);
        const shared = await sharing.run(factor);
        costs.even.push(...even.costs);
        costs.ignored.push(...ignored.costs);
        costs.shared.push(...shared.costs);
        expected = even.answers;
        answers.push(...ignored.answers, ...shared.answers);
      }
      const identical = answers.filter((answer, i) => isSame(answer, expected[i % expected.length]!)).length;
      return { ...slowFigures(costs, factor), answers: answers.length, identical };
    }),
  );
}

async function withJob<T>(
  options: SlowOptions,
  how: How,
  onSlow: SlowSiteOptions['onSlow'],
  use: (job: PromptedJob) => Promise<T>,
): Promise<T> {
  const { model, ranks } = options;
  const site = await SlowSite.start({ ...how, model, ranks, onSlow, set: keysOf(options) });
  return closing(
    () => site.close(),
    () => use(new PromptedJob(site, options, how.signal)),
  );
}

/** A job that is asked the same prompts again and again. */
class PromptedJob {
  private readonly costs: StepCosts;
  private readonly requests: readonly GenerationRequest[];

  constructor(
    private readonly site: SlowSite,
    private readonly options: SlowOptions,
    private readonly signal: AbortSignal,
  ) {
    const { streams: numPrompts, promptTokens, newTokens, seed } = options;
    const { spec, tokenizer } = site.engine;
    const shape = { kind: tokenizer === undefined ? 'random' : 'code', numPrompts, promptTokens, seed } as const;
    this.requests = promptsOf(0, shape, spec.vocabSize, tokenizer).map((promptTokenIds) => ({
      ...{ promptTokenIds, maxNewTokens: newTokens, ignoreEos: true },
    }));
    this.costs = new StepCosts(numPrompts);
    site.engine.watch(this.costs);
  }

  /** All prompts at once. */
  async run(factor: number): Promise<{ readonly costs: StepCost[]; readonly answers: readonly Answer[] }> {
    const { engine } = this.site;
    this.site.burden(factor);
    this.costs.take();
    const answers = await undisturbed(engine, this.requests, this.options.streams, this.signal);
    return { costs: this.costs.take(), answers };
  }

  /** Until nothing changes any more. */
  async settle(factor: number): Promise<void> {
    const first = this.standing();
    let before = first;
    for (let i = 0, numQuiet = 0; i < this.options.warmUps && numQuiet < QUIET_WARM_UPS; i++) {
      await this.run(factor);
      const now = this.standing();
      numQuiet = now !== first && now === before ? numQuiet + 1 : 0;
      before = now;
    }
  }

  private standing(): string {
    const { placement } = this.site.engine;
    const capacities = this.site.engine.stats().speeds.map(({ capacity }) => capacity);
    return JSON.stringify([placement.version, capacities]);
  }
}

/** Bits don't depend on which ranks compute what: that is what is looked at. */
const keysOf = ({ redundant, seed, set }: SlowOptions): string[] => [
  'comm.reduce=source',
  'comm.on_peer_loss=recover',
  `experts.num_redundant_experts=${redundant}`,
  `engine.seed=${seed}`,
  ...set,
];
