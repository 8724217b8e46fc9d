/** What is recorded of routing, and routing that is given from outside: real models over a local mesh. */
import { expect } from 'chai';
import { join } from 'node:path';
import { LoadRecorder, type StepRouting } from '../../../experts/load/load_recorder.js';
import type { RecordMode, TokenRecord } from '../../../experts/load/recording.js';
import { readRecording } from '../../../experts/load/recording_reader.js';
import { syntheticRouting } from '../../../experts/routing/routing_source.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { Engine } from '../../../lib/head/engine.js';
import { loadConfig } from '../../../lib/config/load.js';
import type { GenerationRequest } from '../../../lib/protocol/request.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import { generateIds, type Generated } from '../../kit/engine/engines.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { Seen } from '../../kit/engine/seen.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MODEL = 'tiny-deepseek-v3';
const PROMPT = tinyGolden(MODEL).prompt_token_ids;
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 12), PROMPT.slice(5, 9)];

async function withLocalEngine<T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> {
  const local = await startLocalEngine(tinyModel(MODEL), options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

const batch = ({ engine }: LocalEngine, request: Partial<GenerationRequest> = {}): Promise<Generated[]> =>
  Promise.all(PROMPTS.map((promptTokenIds) => generateIds(engine, { promptTokenIds, maxNewTokens: 6, ...request })));

/** Keeps everything that an observer is told. */
class Notes {
  readonly steps: { step: number; numTokens: number; load_LE: number[][]; tokens: TokenRecord[] }[] = [];

  constructor(readonly wantsTokens: boolean) {}

  add({ step, numTokens, load_LE, tokens }: StepRouting): Promise<void> {
    const copy = load_LE.map((load_E) => Array.from(load_E));
    this.steps.push({ step, numTokens, load_LE: copy, tokens: [...tokens] });
    return Promise.resolve();
  }
}

/** [L][E] from lists of experts per token and layer. */
function recount(experts_TLK: readonly (readonly (readonly number[])[])[], shape: readonly number[][]): number[][] {
  const counts = shape.map((row) => row.map(() => 0));
  for (const layers of experts_TLK) layers.forEach((experts, l) => experts.forEach((e) => counts[l]![e]!++));
  return counts;
}

const sumOf = (all: readonly (readonly number[][])[]): number[][] =>
  all[0]!.map((row, l) => row.map((_, e) => all.reduce((sum, each) => sum + each[l]![e]!, 0)));

const cut = (experts: Uint16Array, numLayers: number): number[][] => {
  const numTopk = experts.length / numLayers;
  return Array.from({ length: numLayers }, (_, l) => [...experts.subarray(l * numTopk, (l + 1) * numTopk)]);
};

describe('recorded routing', function () {
  this.timeout(60_000);

  for (const numRanks of [1, 2, 3]) {
    it(`on ${numRanks} ranks: per step and in all, counts are those of the routed experts of the tokens`, async () => {
      const notes = new Notes(true);
      const set = ['engine.max_num_seqs=4', 'engine.max_num_batched_tokens=8', 'load_balance.window_size=3'];
      await withLocalEngine({ numRanks, observer: notes, set }, async (local) => {
        const outputs = await batch(local);
        const { expertLoad, windowLoad, balanceOverTime, numSteps } = local.engine.stats();
        const { steps } = notes;
        const shape = steps[0]!.load_LE;
        // 1. In all, from what requests report.
        const total = recount(
          outputs.flatMap(({ routedExperts }) => routedExperts),
          shape,
        );
        expect(sumOf(steps.map(({ load_LE }) => load_LE))).to.deep.equal(total);
        expect(expertLoad.map((load_E) => [...load_E])).to.deep.equal(total);
        // 2. Step by step, from the tokens.
        for (const { load_LE, tokens, numTokens } of steps) {
          expect(tokens).to.have.length(numTokens);
          const experts = tokens.map((token) => cut(token.experts, shape.length));
          expect(load_LE).to.deep.equal(recount(experts, shape));
        }
        // 3. The window holds the last three steps; the series all.
        const last = sumOf(steps.slice(-3).map(({ load_LE }) => load_LE));
        expect(windowLoad.map((load_E) => [...load_E])).to.deep.equal(last);
        expect(steps).to.have.length(numSteps);
        expect(balanceOverTime.map(({ step }) => step)).to.deep.equal(steps.map(({ step }) => step));
        for (const { meanLoad, maxLoad } of balanceOverTime) expect(meanLoad).to.be.within(maxLoad / numRanks, maxLoad);
        // 4. Tokens are those of the requests, each position once and in order.
        outputs.forEach(({ tokenIds, routedExperts }, request) => {
          const own = steps.flatMap(({ tokens }) => tokens).filter((token) => token.request === request);
          const fed = [...PROMPTS[request]!, ...tokenIds].slice(0, -1);
          expect(own.map(({ tokenId }) => tokenId)).to.deep.equal(fed);
          expect(own.map(({ position }) => position)).to.deep.equal(fed.map((_, i) => i));
          expect(own.map(({ experts }) => cut(experts, shape.length))).to.deep.equal(routedExperts);
        });
      });
    });
  }

  it('tokens are reported to an observer that wants them alone, and to nobody else', async () => {
    for (const wantsTokens of [true, false]) {
      const notes = new Notes(wantsTokens);
      await withLocalEngine({ numRanks: 2, observer: notes }, async (local) => {
        const [first] = await batch(local, { returnRoutedExperts: false });
        expect(first!.routedExperts).to.equal(null);
        const numTokens = notes.steps.reduce((sum, step) => sum + step.tokens.length, 0);
        expect(numTokens).to.equal(wantsTokens ? PROMPTS.reduce((sum, { length }) => sum + length + 5, 0) : 0);
      });
    }
  });

  it('tokens have the router logits of the share that a recorder wants, which a file keeps to the bit', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r.jsonl.gz');
      const spec = await withLocalEngine({ numRanks: 1 }, ({ engine }) => Promise.resolve(engine.spec));
      const [numLayers, { numExperts, numTopk }] = [moeLayersOf(spec).length, spec.moe.gate];
      const shape = { mode: 'per_token' as const, model: MODEL, createdBy: 'test', numLayers, numExperts, numTopk };
      const recorder = await LoadRecorder.create(file, { ...shape, hasRouterLogits: true }, { windowSize: 1 });
      const observer = { wantsTokens: true, routerLogitsShare: 0.5, add: (step: StepRouting) => recorder.add(step) };
      const seen = new Seen({ routerLogits: 'all' }, { share: 0.5 });
      await withLocalEngine({ numRanks: 2, observer, hooks: [seen.hook] }, batch);
      await recorder.close();
      let numWith = 0;
      for await (const line of readRecording(file)) {
        if (line.kind === 'header') expect(line.header.hasRouterLogits).to.equal(true);
        if (line.kind !== 'token') continue;
        const { request, position, routerLogits } = line.record;
        const own = seen.events.filter((event) => event.sequence === request && event.position === position);
        const values = own.flatMap((event) => (event.point === 'routerLogits' ? [...event.values] : []));
        expect(routerLogits === undefined ? [] : [...routerLogits]).to.deep.equal(values);
        if (routerLogits !== undefined) numWith++;
      }
      expect(numWith).to.be.within(5, 60);
    });
  });

  it('experts whose ranks are masked have no load, and their tokens are recorded once', async () => {
    const notes = new Notes(true);
    const faults = [{ rank: 1, at: { kind: 'before_result', step: 3 } as const }];
    await withLocalEngine({ numRanks: 2, observer: notes, faults }, async (local) => {
      await batch(local);
      const { slotsPerRank, phy2log } = local.placement;
      const before = notes.steps.filter(({ step }) => step < 3);
      const after = notes.steps.filter(({ step }) => step > 3);
      expect(local.losses).to.have.length(1);
      expect(after).not.to.have.length(0);
      phy2log.forEach((slots, l) => {
        const lost = [...slots.subarray(slotsPerRank)].filter((e) => e >= 0);
        const loadOf = (steps: typeof after): number =>
          steps.reduce((sum, { load_LE }) => sum + lost.reduce((all, e) => all + load_LE[l]![e]!, 0), 0);
        expect(loadOf(before)).to.be.above(0);
        expect(loadOf(after)).to.equal(0);
      });
      const places = notes.steps.flatMap(({ tokens }) => tokens.map((token) => `${token.request}:${token.position}`));
      expect(new Set(places).size).to.equal(places.length);
      expect(places).to.have.length(PROMPTS.reduce((sum, { length }) => sum + length + 5, 0));
    });
  });

  it('an observer that fails, fails the requests with its words', async () => {
    const observer = { wantsTokens: false, add: () => Promise.reject(new Error('the disk is full')) };
    await withLocalEngine({ numRanks: 1, observer }, async (local) => {
      const error = await errorOf(Error, () => generateIds(local.engine, { promptTokenIds: PROMPT }));
      expect(error.message).to.equal('the disk is full');
    });
  });
});

describe('routing from outside', function () {
  this.timeout(60_000);

  it('a synthetic load chooses the same experts and tokens whatever the ranks and the batching', async () => {
    const routing = ['experts.routing=zipf:1.2', 'experts.routing_seed=5'];
    const results: Generated[][] = [];
    for (const [numRanks, batched] of [
      [1, 512],
      [2, 8],
      [3, 5],
    ] as const) {
      const set = [...routing, 'engine.max_num_seqs=4', `engine.max_num_batched_tokens=${batched}`];
      results.push(await withLocalEngine({ numRanks, set }, (local) => batch(local)));
    }
    expect(results[1]).to.deep.equal(results[0]);
    expect(results[2]).to.deep.equal(results[0]);
    // They are those of the source, by request and position.
    const spec = await withLocalEngine({ numRanks: 1 }, ({ engine }) => Promise.resolve(engine.spec));
    const { numExperts, numTopk } = spec.moe.gate;
    const numLayers = moeLayersOf(spec).length;
    const source = syntheticRouting({ kind: 'zipf', alpha: 1.2 }, { numLayers, numExperts, numTopk }, 5);
    results[0]!.forEach(({ routedExperts }, request) =>
      routedExperts.forEach((layers, position) => {
        const out = new Uint16Array(numLayers * numTopk);
        source.choose(request, position, out);
        expect(layers).to.deep.equal(cut(out, numLayers));
      }),
    );
    const gated = await withLocalEngine({ numRanks: 1 }, (local) => batch(local));
    expect(gated.map(({ routedExperts }) => routedExperts)).not.to.deep.equal(
      results[0]!.map(({ routedExperts }) => routedExperts),
    );
  });

  it('a recording of tokens routes the same requests in the same way, on any ranks', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r.jsonl.gz');
      const record = (mode: RecordMode, shape: readonly number[]): Promise<LoadRecorder> => {
        const [numLayers, numExperts, numTopk] = shape as [number, number, number];
        const header = { mode, model: MODEL, numLayers, numExperts, numTopk, createdBy: 'test' };
        return LoadRecorder.create(file, header, { windowSize: 2 });
      };
      const notes = new Notes(true);
      const original = await withLocalEngine({ numRanks: 2, observer: notes }, (local) => batch(local));
      const shape = [notes.steps[0]!.load_LE.length, notes.steps[0]!.load_LE[0]!.length];
      const numTopk = original[0]!.routedExperts[0]![0]!.length;
      const recorder = await record('per_token', [...shape, numTopk]);
      for (const step of notes.steps) await recorder.add(step);
      await recorder.close();
      const set = [`experts.routing=${file}`];
      const replayed = await withLocalEngine({ numRanks: 3, set }, (local) => batch(local));
      replayed.forEach(({ routedExperts }, i) => {
        expect(routedExperts).to.deep.equal(original[i]!.routedExperts);
      });
      // Recorded anew, the load is that of the recording.
      const again = new Notes(true);
      await withLocalEngine({ numRanks: 1, set, observer: again }, (local) => batch(local));
      expect(sumOf(again.steps.map(({ load_LE }) => load_LE))).to.deep.equal(
        sumOf(notes.steps.map(({ load_LE }) => load_LE)),
      );
      let numLines = 0;
      for await (const line of readRecording(file)) if (line.kind === 'token') numLines++;
      expect(numLines).to.equal(notes.steps.reduce((sum, step) => sum + step.numTokens, 0));
    });
  });

  it('refuses before any rank starts what is malformed or does not fit the model', async () => {
    for (const [text, words] of [
      ['zipf', /"experts.routing" is "zipf": zipf takes 1 number; allowed is gate/],
      ['zipf:x', /zipf takes 1 number;/],
      ['drift:1:2:3', /drift takes 1 or 2 numbers;/],
      ['zipf:-1', /alpha is -1; give a number from 0 to 100/],
      ['unbalanced:3:1.5', /\d+ experts don't divide by 3 ranks/],
      ['./nowhere', /there is no such file .*give gate, uniform/],
      ['constructor', /there is no such file/],
    ] as const) {
      const base = { model: tinyModel(MODEL), experts: { routing: text } };
      const error = await errorOf(ConfigError, async () => Engine.start({ config: await loadConfig({ base }) }));
      expect(error).to.include({ code: 'INVALID_VALUE', key: 'experts.routing' });
      expect(error.message).to.match(words);
    }
  });
});
