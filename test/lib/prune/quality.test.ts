/** What pruning costs the small trained model: the experts that a text needs are worth more than any others. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agreement } from '../../../lib/compare/agreement.js';
import { calibrate } from '../../../lib/commands/rewrite/calibration.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { scoresOf, type Criterion } from '../../../lib/prune/criteria.js';
import { addTally, emptyTally, tallyingHook, type ExpertTally } from '../../../lib/prune/expert_watch.js';
import { keptExperts } from '../../../lib/prune/kept_experts.js';
import { pruning } from '../../../lib/prune/prune_checkpoint.js';
import { rewriteCheckpoint } from '../../../lib/rewrite/rewrite.js';
import { openSource } from '../../../lib/rewrite/source.js';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { repoRoot } from '../../kit/paths.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MODEL = join(repoRoot(), 'models', 'moe-7m');
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

async function withModel<T>(
  dir: string,
  use: (engine: Awaited<ReturnType<typeof startLocalEngine>>['engine']) => Promise<T>,
): Promise<T> {
  const local = await startLocalEngine(dir, { numRanks: 2 });
  return use(local.engine).finally(() => local.close());
}

const logitsOf = (dir: string, held: readonly number[][]): Promise<Float32Array[]> =>
  withModel(dir, async (engine) => {
    const all: Float32Array[] = [];
    for (const tokenIds of held) all.push((await scoreIds(engine, tokenIds)).logits);
    return all;
  });

describe('experts that are pruned from moe-7m', function () {
  this.timeout(120_000);

  it('by reap and by frequency cost less in KL than any others, on text that nobody calibrated with', async () => {
    const { read, held } = await pieces();
    const source = await openSource(MODEL);
    const { spec } = source;
    const layers = moeLayersOf(spec);
    const { gate } = spec.moe;
    const shape = { numLayers: layers.length, numExperts: gate.numExperts };
    const watched = { outputs: true };
    const empty = (): ExpertTally => emptyTally(layers, gate.numExperts, watched);
    const tally = empty();
    await withModel(MODEL, (engine) =>
      calibrate(
        engine,
        read,
        () => {
          const own = empty();
          return { hook: tallyingHook(own, layers, watched), done: () => addTally(tally, own) };
        },
        commandContext(),
      ),
    );
    expect(tally.counts_LE.map((counts_E) => counts_E.reduce((a, b) => a + b))).to.deep.equal(
      layers.map(() => 4 * PIECE * gate.numTopk),
    );
    const reference = await logitsOf(MODEL, held);
    const divergenceOf = (criterion: Criterion, seed = 0): Promise<number> =>
      withTempFolder(async (parent) => {
        const out = join(parent, 'out');
        const kept = scoresOf(criterion, tally, { ...shape, seed }).map((scores_E) => keptExperts(scores_E, 16, gate));
        await rewriteCheckpoint(source, out, pruning(source, { criterion, kept }));
        const agreement = new Agreement(spec.vocabSize);
        (await logitsOf(out, held)).forEach((logits, i) => agreement.add(reference[i]!, logits));
        return agreement.meanDivergence;
      });
    const [reap, frequency] = [await divergenceOf('reap'), await divergenceOf('frequency')];
    const random: number[] = [];
    for (const seed of [0, 1, 2]) random.push(await divergenceOf('random', seed));
    await source.close();
    const told = JSON.stringify({ reap, frequency, random });
    expect(reap, told).to.be.lessThan(Math.min(...random));
    expect(frequency, told).to.be.lessThan(Math.min(...random));
    expect(reap, told).to.be.greaterThan(0);
  });
});
