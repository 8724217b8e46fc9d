/** `measure: score`: all pieces of all texts at once, and then, beside a reference, one after the other. */
import type { Metrics } from '../../lib/experiment/base/metric.js';
import type { Json, PlannedRun } from '../../lib/experiment/base/run.js';
import { scoreSettingsOf } from '../../lib/experiment/measures/score.js';
import { linkOf } from '../../lib/experiment/measures/link.js';
import { textsOf, type ScoredText } from '../../lib/experiment/measures/texts.js';
import { comparedModel } from '../../lib/compare/expert_origins.js';
import type { Engine } from '../../lib/head/engine.js';
import { openModel } from '../../lib/head/opened_model.js';
import type { Measure, MeasureContext } from './base/measure.js';
import { matrixDetails } from './base/pass_details.js';
import { scorePass, scorePassMetrics, type ScorePass } from './base/score_pass.js';
import { withStartedEngine } from './base/started_engine.js';
import { agreementMetrics, compareTexts, perplexityOf, scoreTexts, type TextAgreement } from './base/text_scores.js';

/** Errors as those of `Engine.start` and `Engine.score`. */
export const measureScore: Measure = async (run, context) => {
  const { config } = run;
  const model = await openModel(config);
  const texts = await textsOf(run, model);
  const numRequests = texts.reduce((sum, { pieces }) => sum + pieces.length, 0);
  return withStartedEngine({ config, model, numRequests, link: linkOf(run) }, context, async ({ engine, startMs }) => {
    await warmUp(engine, run, texts, context);
    const pass = await scorePass(engine, texts, context.signal);
    const compared = await comparedWith(run, engine, texts, context);
    return {
      metrics: { ...scorePassMetrics(pass), start_ms: startMs, ...comparedMetrics(compared, pass) },
      details: { ...matrixDetails(pass), texts: textDetails(pass, compared) },
      backend: pass.after.stats.backend,
    };
  });
};

async function warmUp(
  engine: Engine,
  { warmup }: Pick<PlannedRun, 'warmup'>,
  texts: readonly ScoredText[],
  { onNotice, signal }: MeasureContext,
): Promise<void> {
  for (let i = 1; i <= warmup; i++) {
    const startMs = performance.now();
    await scoreTexts(engine, texts, signal);
    onNotice(`warm-up ${i} of ${warmup}: ${(performance.now() - startMs).toFixed(0)} ms`);
  }
}

/** Null: there is no reference. */
async function comparedWith(
  run: PlannedRun,
  engine: Engine,
  texts: readonly ScoredText[],
  context: MeasureContext,
): Promise<readonly TextAgreement[] | null> {
  const { config } = run;
  const { reference } = scoreSettingsOf(run);
  if (reference === null) return null;
  const given = { config: reference, model: await openModel(reference), numRequests: 1 };
  const own = await comparedModel(config.model, engine.spec);
  return withStartedEngine(given, context, async ({ engine: exact }) => {
    const sides = [
      { engine: exact, model: await comparedModel(reference.model, exact.spec) },
      { engine, model: own },
    ] as const;
    return compareTexts(sides, texts, context.signal);
  });
}

const comparedMetrics = (compared: readonly TextAgreement[] | null, { scores }: ScorePass): Metrics =>
  compared === null ? {} : agreementMetrics(compared, perplexityOf(scores.flatMap(({ results }) => results)));

const textDetails = ({ scores }: ScorePass, compared: readonly TextAgreement[] | null): Json =>
  scores.map(({ text, results }, i) => {
    const perplexity = perplexityOf(results);
    const tokens = text.pieces.reduce((sum, { length }) => sum + length, 0);
    const agreement = compared === null ? {} : agreementMetrics([compared[i]!], perplexity);
    return { label: text.label, tokens, perplexity, ...agreement };
  });
