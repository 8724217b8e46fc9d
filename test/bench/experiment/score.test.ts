import { expect } from 'chai';
import { perplexityOf } from '../../../bench/experiment/base/text_scores.js';
import type { Json, PlannedRun } from '../../../lib/experiment/base/run.js';
import { scoreMeasure } from '../../../lib/experiment/measures/score.js';
import { textsOf } from '../../../lib/experiment/measures/texts.js';
import { loadConfig } from '../../../lib/config/load.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { countsOf, measured, plannedRun, type RunOptions } from '../../kit/experiment/planned_run.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes } from '../../kit/processes/processes.js';
import { errorOf } from '../../kit/rejects.js';

const processes = new Processes();
const TEXTS = [
  { label: 'one', token_ids: [5, 6, 7, 8, 9, 10] },
  { label: 'two', token_ids: [3, 2, 1] },
];
const RUN: RunOptions = {
  workload: { texts: TEXTS, piece_tokens: 4 },
  set: ['comm.wire.dispatch=bf16', 'parallel.ranks=2'],
};

/** With the whole configuration of a reference, as a plan has it. */
async function withReference(
  run: PlannedRun,
  overrides: readonly string[],
  model = 'tiny-mixtral',
): Promise<PlannedRun> {
  const reference = await loadConfig({ flags: { model: tinyModel(model) }, overrides });
  return { ...run, measure: { ...run.measure, reference: reference as unknown as Json } };
}

describe('measure: score', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('a run and its reference differ by what the wire rounds; two runs say the same to the last digit', async () => {
    const run = await withReference(await plannedRun('score', RUN), ['parallel.ranks=1']);
    const { result } = await measured(run);
    const { metrics } = result;
    expect(Object.keys(metrics)).to.have.members(Object.keys(scoreMeasure.metricsOf(run.measure as never)));
    // Pieces of 4, 2 and 3 tokens.
    expect(metrics).to.include({ num_tokens: 9, scored_tokens: 6, experts_per_token: 2, degraded_tokens: 0 });
    expect(metrics.kl_nats).to.be.above(0).and.below(0.01);
    expect(metrics.max_logit_error).to.be.above(metrics.rms_logit_error as number);
    expect(metrics.perplexity_ratio).to.be.closeTo(1, 0.01).and.not.equal(1);
    const { texts } = result.details as unknown as { texts: { label: string; tokens: number; perplexity: number }[] };
    expect(texts.map(({ label, tokens }) => [label, tokens])).to.deep.equal([
      ['one', 6],
      ['two', 3],
    ]);
    const again = await measured(run);
    expect(countsOf(run, again.result)).to.deep.equal(countsOf(run, result));
  });

  it('held against itself, nothing differs', async () => {
    const own = await plannedRun('score', { workload: { texts: TEXTS } });
    const { result } = await measured(await withReference(own, []));
    expect(result.metrics).to.include({ kl_nats: 0, top1_agreement: 1, max_logit_error: 0, perplexity_ratio: 1 });
  });

  it('takes a part of each text, in pieces that begin as the model is used to', async () => {
    const workload = {
      texts: ['In the beginning God created the heaven and the earth.'],
      skip_tokens: 1,
      max_tokens: 7,
      piece_tokens: 4,
    };
    const run = await plannedRun('score', { workload });
    const model = await openModel(await loadConfig({ flags: { model: moe7m() } }));
    const all = model.tokenizer!.encode(workload.texts[0]!, { addSpecialTokens: false });
    const { pieces } = (await textsOf(run, model))[0]!;
    const begins =
      model.tokenizer!.encode('a').length - model.tokenizer!.encode('a', { addSpecialTokens: false }).length;
    expect(pieces.flatMap((piece) => piece.slice(begins))).to.deep.equal(all.slice(1, 8));
    expect(Math.max(...pieces.map(({ length }) => length))).to.equal(4);
  });

  it('texts that are missing, too short or of another label, and references of other vocabularies, are found before a rank starts', async () => {
    const wrong: readonly [RunOptions, string][] = [
      [{}, 'there is no text to score'],
      [{ workload: { texts: TEXTS, label: 'three' } }, 'labels are one, two'],
      [{ workload: { texts: TEXTS, skip_tokens: 4 } }, 'give at least 2'],
      [{ workload: { texts: ['a text'] } }, 'has no tokenizer'],
      [{ workload: { texts: [{ token_ids: [1, 99_999] }] } }, 'outside the model'],
      [{ workload: { text_files: ['/nowhere/text.txt'] } }, "can't be read"],
    ];
    for (const [options, text] of wrong) {
      const run = await plannedRun('score', options);
      expect(
        (await errorOf(Error, async () => scoreMeasure.check!(run, await openModel(run.config)))).message,
      ).to.include(text);
    }
    const run = await withReference(await plannedRun('score', RUN), [], 'tiny-qwen3-moe');
    const other = await openModel(run.config);
    const error = await errorOf(Error, () =>
      scoreMeasure.check!(run, { ...other, spec: { ...other.spec, vocabSize: 7777 } }),
    );
    expect(error.message).to.include('give one of the same vocabulary');
  });

  it('perplexity is of all tokens alike, however long their pieces are', () => {
    const result = { perplexity: 0, routedExperts: [], numDegradedTokens: 0 };
    const results = [
      { ...result, logprobs: [-1, -1, -1] },
      { ...result, logprobs: [-5] },
    ];
    expect(perplexityOf(results)).to.be.closeTo(Math.exp(2), 1e-12);
  });
});
