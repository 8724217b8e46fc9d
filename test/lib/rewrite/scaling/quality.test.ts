/** What a text is worth where rounding is: the small trained model with channels of many sizes, which computes what the model computes. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { calibrate } from '../../../../lib/commands/rewrite/calibration.js';
import { Agreement } from '../../../../lib/compare/agreement.js';
import { moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { intCoding } from '../../../../lib/rewrite/quantise/int_coding.js';
import { quantiseCheckpoint } from '../../../../lib/rewrite/quantise/quantise.js';
import type { LayerScaling } from '../../../../lib/rewrite/quantise/scaling.js';
import { kernelProducts } from '../../../../lib/rewrite/scaling/expert_outputs.js';
import { RowWatch } from '../../../../lib/rewrite/scaling/expert_rows.js';
import { searchLayer } from '../../../../lib/rewrite/scaling/layer_search.js';
import { openSource, type RewriteSource } from '../../../../lib/rewrite/source.js';
import { loadTokenizer } from '../../../../lib/tokenizer/tokenizer.js';
import { scoreIds } from '../../../kit/engine/engines.js';
import { startLocalEngine } from '../../../kit/engine/local_engine.js';
import { drawnScaling, NUMBERS } from '../../../kit/model/drawn_scaling.js';
import { repoRoot } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MODEL = join(repoRoot(), 'models', 'moe-7m');
const INT4 = intCoding({ type: 'int4', group: 32, scaleDtype: 'BF16' });
const PIECE = 120;

/** Of each kind of text two pieces: one to calibrate with, and one to judge by. */
async function pieces(): Promise<{ readonly read: number[][]; readonly held: number[][] }> {
  const tokenizer = (await loadTokenizer(MODEL))!;
  const texts = ['story', 'scripture', 'speech', 'code'].map((kind) =>
    tokenizer.encode(readFileSync(join(repoRoot(), 'configs', 'experiments', 'texts', `${kind}.txt`), 'utf8')),
  );
  const cut = (i: number): number[][] => texts.map((tokenIds) => tokenIds.slice(i * PIECE, (i + 1) * PIECE));
  return { read: cut(0), held: cut(1) };
}

async function withSource<T>(dir: string, use: (source: RewriteSource) => Promise<T>): Promise<T> {
  const source = await openSource(dir);
  return use(source).finally(() => source.close());
}

const write = (
  dir: string,
  out: string,
  coding: typeof INT4,
  scaling: readonly LayerScaling[] = [],
): Promise<unknown> =>
  withSource(dir, (source) =>
    quantiseCheckpoint(source, out, { coding, only: 'experts', ignore: [], mayDecode: false, scaling }),
  );

async function logitsOf(dir: string, texts: readonly number[][]): Promise<Float32Array[]> {
  const local = await startLocalEngine(dir, { numRanks: 2, reduce: 'source' });
  try {
    const all: Float32Array[] = [];
    for (const tokenIds of texts) all.push((await scoreIds(local.engine, tokenIds)).logits);
    return all;
  } finally {
    await local.close();
  }
}

describe('quantising moe-7m by a text', function () {
  this.timeout(120_000);

  it('where some channels carry more than others, it costs less in KL on another text than without', async () => {
    const { read, held } = await pieces();
    await withTempFolder(async (parent) => {
      const [spread, plain, scaled] = ['spread', 'plain', 'scaled'].map((name) => join(parent, name)) as [
        string,
        string,
        string,
      ];
      await withSource(MODEL, ({ spec }) => write(MODEL, spread, NUMBERS, drawnScaling(spec)));
      const reference = await logitsOf(MODEL, held);
      expect(await logitsOf(spread, held)).to.deep.equal(reference);
      const found = await withSource(spread, async (source) => {
        const watch = new RowWatch(source.spec, moeLayersOf(source.spec));
        const local = await startLocalEngine(spread, { numRanks: 2 });
        await calibrate(local.engine, read, () => watch.piece(), commandContext()).finally(() => local.close());
        const all = [];
        for (const seen of watch.seen()) {
          all.push(await searchLayer({ source, coding: INT4, isTarget: () => true, products: kernelProducts() }, seen));
        }
        return all;
      });
      await write(spread, plain, INT4);
      await write(
        spread,
        scaled,
        INT4,
        found.map(({ scaling }) => scaling),
      );
      const divergenceOf = async (dir: string): Promise<number> => {
        const agreement = new Agreement(2048);
        (await logitsOf(dir, held)).forEach((logits, i) => agreement.add(reference[i]!, logits));
        return agreement.meanDivergence;
      };
      const [before, after] = [await divergenceOf(plain), await divergenceOf(scaled)];
      const told = JSON.stringify({
        before,
        after,
        errors: found.map(({ errorBefore, errorAfter }) => [errorBefore, errorAfter]),
      });
      expect(after, told).to.be.lessThan(before / 2);
      for (const { errorBefore, errorAfter } of found) expect(errorAfter, told).to.be.lessThan(errorBefore / 2);
    });
  });
});
