/** Gates of plug-ins on a real engine whose ranks share this process. */
import { expect } from 'chai';
import { join } from 'node:path';
import { LoadRecorder } from '../../../experts/load/load_recorder.js';
import { readRecording } from '../../../experts/load/recording_reader.js';
import { recordedLoad } from '../../../experts/routing/recorded_routing.js';
import type { HookEvent } from '../../../lib/protocol/hook.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { generateIds, scoreIds, type Generated } from '../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { repoRoot, tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const MODEL = 'tiny-deepseek-v3';
const PROMPT = tinyGolden(MODEL).prompt_token_ids;
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9)];

/** What comes of the prompts, beside each other: tokens, experts, and logits [T·V]. */
interface Outcome {
  readonly generated: readonly Generated[];
  readonly logits: readonly Float32Array[];
}

async function withEngine<T>(
  model: string,
  options: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> {
  const local = await startLocalEngine(tinyModel(model), options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

const outcomeOf = (numRanks: number, set: readonly string[], model = MODEL): Promise<Outcome> =>
  withEngine(model, { numRanks, set }, async ({ engine }) => {
    const requests = PROMPTS.map((promptTokenIds) => generateIds(engine, { promptTokenIds, maxNewTokens: 6 }));
    const scores = PROMPTS.map(async (ids) => (await scoreIds(engine, ids)).logits);
    return { generated: await Promise.all(requests), logits: await Promise.all(scores) };
  });

/** `route` with its arguments in reach; `more`: further properties of the gate. */
const gateOf = (route: string, more = ''): Readonly<Record<string, string>> => ({
  'gate.mjs': `export default (api) => api.registerGate('mine', { ${more} route(batch, own) { ${route} } });`,
});

const chosen = (path: string, name = 'mine'): string[] => [`plugins=["${path}"]`, `experts.gate=${name}`];

const outcomeWith = (route: string, more: string, numRanks: number, set: readonly string[] = []): Promise<Outcome> =>
  withPlugins(gateOf(route, more), (path) => outcomeOf(numRanks, [...chosen(path('gate.mjs')), ...set]));

function expectSame(actual: Outcome, wanted: Outcome): void {
  expect(actual.generated).to.deep.equal(wanted.generated);
  for (const [i, logits] of actual.logits.entries()) expect(isSameBits(logits, wanted.logits[i]!)).to.equal(true);
}

describe('gates of plug-ins', function () {
  this.timeout(60_000);

  for (const compute of ['kernels', 'tensors']) {
    for (const model of [MODEL, 'tiny-qwen3-moe', 'tiny-gpt-oss']) {
      it(`${model}, ${compute}: what the own gate makes of the logits is what it does without one, to the last bit`, async () => {
        const set = [`compute=${compute}`];
        const own = await outcomeOf(1, set, model);
        const handed = await withPlugins(gateOf('return own();'), (path) =>
          outcomeOf(3, [...set, ...chosen(path('gate.mjs'))], model),
        );
        expectSame(handed, own);
      });
    }

    it(`${compute}: more or fewer choices than the model's are those of a model that makes as many`, async () => {
      for (const numTopk of [1, 5]) {
        const more = await outcomeWith(`return own(batch.numTopk);`, `numTopk: () => ${numTopk},`, 2, [
          `compute=${compute}`,
        ]);
        expectSame(more, await outcomeOf(1, [`model_overrides.num_experts_per_tok=${numTopk}`, `compute=${compute}`]));
      }
    });

    it(`${compute}: nobody instead of an expert is that expert with no weight`, async () => {
      const positionsAlone = '(_, i) => batch.positions[Math.floor(i / batch.numTopk)] % 3 === i % batch.numTopk';
      for (const left of [positionsAlone, '() => true']) {
        const routing = 'const { topkIdx, topkWeights } = own(); const isLeft = ' + left + ';';
        const nobody = `${routing} return { topkIdx: topkIdx.map((e, i) => (isLeft(e, i) ? -1 : e)), topkWeights };`;
        const weightless = `${routing} return { topkIdx, topkWeights: topkWeights.map((w, i) => (isLeft(w, i) ? 0 : w)) };`;
        const set = [`compute=${compute}`];
        const wanted = await outcomeWith(weightless, '', 1, set);
        for (const numRanks of [1, 3]) {
          const { logits, generated } = await outcomeWith(nobody, '', numRanks, set);
          expect(generated.map(({ tokenIds }) => tokenIds)).to.deep.equal(
            wanted.generated.map(({ tokenIds }) => tokenIds),
          );
          for (const [i, row] of logits.entries())
            expect(isSameBits(row, wanted.logits[i]!), `${left}, ${numRanks}`).to.equal(true);
        }
      }
    });
  }

  it('that use their arrays again, or write over what they were given, change nothing but what they choose', async () => {
    const own = await outcomeOf(1, []);
    const again = `const { topkIdx, topkWeights } = own(); const [n, g] = [topkIdx.length, globalThis];
      if (!(g.ids?.length >= n)) { g.ids = new Int32Array(n); g.weights = new Float32Array(n); }
      const [ids, weights] = [g.ids.subarray(0, n), g.weights.subarray(0, n)];
      ids.set(topkIdx); weights.set(topkWeights); return { topkIdx: ids, topkWeights: weights };`;
    const over = `if (batch.moeLayer > 0 && batch.positions.every((position) => position === 0)) throw new Error('not its own');
      const routing = own(); batch.bias_E?.fill(9); batch.positions.fill(0); batch.rank = batch.numTokens = batch.numTopk = 1; return routing;`;
    for (const route of [again, over]) expectSame(await outcomeWith(route, '', 2), own);
  });

  it('that look at the whole batch run too, and no prompt shares a prefix', async () => {
    const example = join(repoRoot(), 'examples/plugins');
    const sharedWith = (set: readonly string[]): Promise<number> =>
      withEngine(MODEL, { numRanks: 2, set: [...set, 'engine.block_size=4'] }, async ({ engine }) => {
        for (let i = 0; i < 2; i++)
          await generateIds(engine, { promptTokenIds: PROMPT, maxNewTokens: 3, returnRoutedExperts: false });
        return engine.stats().numSharedTokens;
      });
    expect(await sharedWith([])).to.be.greaterThan(0);
    for (const name of ['capacity', 'expert_choice']) {
      const set = chosen(join(example, `${name}_gate.mjs`), name);
      expect(await sharedWith(set)).to.equal(0);
      expect(await sharedWith([...set, 'engine.prefix_cache=any'])).to.be.greaterThan(0);
    }
  });

  it('that choose fewer for some tokens are recorded with nobody, and what was recorded can be routed by', async () => {
    const route =
      'const { topkIdx, topkWeights } = own(); return { topkIdx: topkIdx.map((e, i) => (i % 2 ? -1 : e)), topkWeights };';
    await withPlugins(gateOf(route), (path) =>
      withTempFolder(async (dir) => {
        const file = join(dir, 'load.jsonl.gz');
        const shape = { numLayers: 2, numExperts: 16, numTopk: 4 };
        const header = { mode: 'per_token', model: MODEL, createdBy: 'test', ...shape } as const;
        const observer = await LoadRecorder.create(file, header, { windowSize: 1 });
        const set = chosen(path('gate.mjs'));
        const recorded = await withEngine(MODEL, { numRanks: 2, set, observer }, ({ engine }) =>
          generateIds(engine, { promptTokenIds: PROMPT, maxNewTokens: 4 }),
        );
        await observer.close();
        for (const layers of recorded.routedExperts) for (const experts of layers) expect(experts).to.have.lengthOf(2);
        const tokens = [];
        for await (const line of readRecording(file)) if (line.kind === 'token') tokens.push([...line.record.experts]);
        expect(tokens[0]!.filter((expert) => expert === 0xffff)).to.have.lengthOf(4);
        const { load_LE } = await recordedLoad(file);
        expect(load_LE.map((load_E) => load_E.reduce((a, b) => a + b))).to.deep.equal([
          2 * tokens.length,
          2 * tokens.length,
        ]);
        const replayed = await outcomeOf(2, [`experts.routing=${file}`]);
        expect(replayed.generated[0]!.routedExperts.slice(0, PROMPT.length)).to.deep.equal(
          recorded.routedExperts.slice(0, PROMPT.length),
        );
      }),
    );
  });

  it('are seen by hooks, with −1 for nobody, also where the request asks for experts itself', async () => {
    const route =
      'const { topkIdx, topkWeights } = own(); return { topkIdx: topkIdx.map((e, i) => (i % 2 ? -1 : e)), topkWeights };';
    await withPlugins(gateOf(route), (path) =>
      withEngine(MODEL, { numRanks: 2, set: chosen(path('gate.mjs')) }, async ({ engine }) => {
        for (const returnRoutedExperts of [false, true]) {
          const seen: (readonly number[])[] = [];
          const onEvent = (event: HookEvent): void => {
            if (event.point === 'routing') seen.push([...event.experts]);
            if (event.point !== 'expertOutputs') return;
            const hidden = event.values.length / event.experts.length;
            event.experts.forEach((expert, k) => {
              const isZero = event.values.subarray(k * hidden, (k + 1) * hidden).every((value) => value === 0);
              expect(isZero).to.equal(expert === -1);
            });
          };
          const hooks = [{ points: { routing: 'all', expertOutputs: 'all' }, onEvent }] as const;
          await generateIds(engine, { promptTokenIds: PROMPT, maxNewTokens: 2, returnRoutedExperts, hooks });
          expect(seen.length).to.be.greaterThan(PROMPT.length);
          for (const experts of seen)
            expect(experts.map((expert) => expert === -1)).to.deep.equal([false, true, false, true]);
        }
      }),
    );
  });

  const refusalOf = async (route: string, more = '', set: readonly string[] = []): Promise<string> =>
    (await errorOf(Error, () => outcomeWith(route, more, 2, set))).message;
  const OWN = 'const { topkIdx, topkWeights } = own();';

  it('that give what can not be end with an error that names plug-in and gate and what it gave', async () => {
    for (const [route, message] of [
      ['throw new Error("no idea");', /threw in MoE layer 0 of step 0: no idea; mend it/],
      ['return Promise.resolve(own());', /gave a promise in MoE layer 0 of step 0; it must give its result at once/],
      [
        'return null;',
        /gave undefined as topkIdx in MoE layer 0 of step 0; give an Int32Array of 4 tokens × 4 choices = 16/,
      ],
      [`${OWN} return { topkIdx: [...topkIdx], topkWeights };`, /gave an array of 16 as topkIdx/],
      [`${OWN} return { topkIdx: topkIdx.slice(1), topkWeights };`, /gave Int32Array of 15 as topkIdx/],
      [
        `${OWN} return { topkIdx, topkWeights: new Float64Array(topkWeights) };`,
        /gave Float64Array of 16 as topkWeights/,
      ],
      [
        `${OWN} topkWeights[5] = NaN; return { topkIdx, topkWeights };`,
        /gave the weight NaN to expert \d+ for token 1 /,
      ],
      [
        `${OWN} topkIdx[5] = 16; return { topkIdx, topkWeights };`,
        /gave expert 16 to token 1 .*there are experts 0 … 15, and -1/,
      ],
      [`${OWN} topkIdx[5] = -2; return { topkIdx, topkWeights };`, /gave expert -2 to token 1/],
      [`${OWN} topkIdx[5] = topkIdx[4]; return { topkIdx, topkWeights };`, /gave expert \d+ twice to token 1/],
      [
        `for (let i = 0; i < 64; i++) batch.logits[i] = Math.random(); return own();`,
        /gave expert .* to a token beside others in step 0, and .* alone in step 1, and says that it depends on its token alone/,
      ],
      [`batch.logits[0] = NaN; return own();`, /threw .*: NOT_FINITE/],
      [
        `batch.spec.numTopk = 2; return own();`,
        /threw in MoE layer 0 of step 0: Cannot assign to read only property 'numTopk'/,
      ],
      [`batch.spec.groups.topkGroups = 1; return own();`, /threw .*: Cannot assign to read only property 'topkGroups'/],
      [
        `${OWN} return { get topkIdx() { throw new Error("no idea"); }, topkWeights };`,
        /threw in MoE layer 0 of step 0: no idea/,
      ],
      [`return { get then() { throw new Error("later"); } };`, /threw in MoE layer 0 of step 0: later/],
      [
        `${OWN} batch.numTokens = 1; return { topkIdx: topkIdx.slice(0, 4), topkWeights: topkWeights.slice(0, 4) };`,
        /gave Int32Array of 4 as topkIdx .*give an Int32Array of 4 tokens × 4 choices = 16/,
      ],
    ] as const) {
      expect(await refusalOf(route), route)
        .to.match(/^PLUGIN_FAILED: plug-in \S+gate\.mjs, gate "mine": /)
        .and.match(message);
    }
    expect(await refusalOf('return own();', 'numTopk: () => 17,')).to.match(
      /gave 17 as numTopk; give a whole number from 1 to 16/,
    );
    expect(await refusalOf('return own();', 'numTopk: () => 1.5,')).to.match(/gave 1\.5 as numTopk/);
    expect(await refusalOf('return own();', 'numTopk() { throw new Error("none"); },')).to.match(
      /threw in numTopk: none/,
    );
  });

  it('that fail in a step end the job with the rank, the plug-in, the gate and what it gave, also where losses are masked', async () => {
    const route = `${OWN} if (batch.step > 1 && batch.rank === 1) topkIdx[0] = 99; return { topkIdx, topkWeights };`;
    await withPlugins(gateOf(route, `dependsOn: 'batch',`), async (path) => {
      for (const onPeerLoss of ['fail', 'mask'] as const) {
        const options = { numRanks: 2, set: chosen(path('gate.mjs')), onPeerLoss };
        const error = await withEngine(MODEL, options, async ({ engine }) => {
          const requests = PROMPTS.map((promptTokenIds) => generateIds(engine, { promptTokenIds, maxNewTokens: 6 }));
          const first = await errorOf(EngineError, () => Promise.all(requests));
          await Promise.allSettled(requests);
          return first;
        });
        expect(error.message).to.match(
          /^RANK_FAILED: rank 1 failed in step \d+: PLUGIN_FAILED: plug-in \S+gate\.mjs, gate "mine": gave expert 99 to token 0 in MoE layer 0 of step \d+; there are experts 0 … 15/,
        );
      }
    });
  });

  it('are refused beside what chooses instead, and beside a promise that they can not keep', async () => {
    expect(await refusalOf('return own();', '', ['experts.routing=uniform'])).to.match(
      /^INVALID_VALUE: "experts\.routing" is "uniform", which chooses instead of gates/,
    );
    const batch = await refusalOf('return own();', `dependsOn: 'batch',`, ['engine.prefix_cache=exact']);
    expect(batch).to.match(
      /^INVALID_VALUE: "engine\.prefix_cache" is exact, but what the gate mine chooses depends on the batch/,
    );
    const unknown = await errorOf(Error, () =>
      withPlugins(gateOf(''), (path) => outcomeOf(1, chosen(path('gate.mjs'), 'mien'))),
    );
    expect(unknown.message).to.match(
      /"experts\.gate" is "mien" \(did you mean "mine"\?\); allowed is model, mine; no plug-in brought a gate of that name/,
    );
  });
});
