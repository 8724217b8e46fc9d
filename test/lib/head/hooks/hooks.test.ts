/** What hooks are told, when, and what becomes of those that are wrong: real models over a local mesh. */
import { expect } from 'chai';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { Hook, HookEvent } from '../../../../lib/protocol/hook.js';
import type { GenerationRequest } from '../../../../lib/protocol/request.js';
import type { ObservedStep } from '../../../../lib/head/observing/step_observer.js';
import { uniform } from '../../../../base/philox.js';
import { generateIds } from '../../../kit/engine/engines.js';
import { generate, PROMPT, withLocalEngine, frame } from '../../../kit/engine/masking.js';
import { replicated } from '../../../kit/engine/placements.js';
import type { LocalEngine, LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { EVERYTHING, Seen } from '../../../kit/engine/seen.js';
import { errorOf } from '../../../kit/rejects.js';

const NEW = 6;
/** Of tiny-deepseek-v3: layer 0 is dense. */
const MOE_LAYERS = [1, 2];
const HIDDEN = [0, 1, 2, 3].map((place) => `hidden ${place}`);
const LENS = [1, 2, 3].map((place) => `lens ${place}`);

const generated = (local: LocalEngine, request: Partial<GenerationRequest>): ReturnType<typeof generateIds> =>
  generateIds(local.engine, { promptTokenIds: PROMPT, maxNewTokens: NEW, returnRoutedExperts: false, ...request });

/** What a hook is told of one request. */
async function seenOf(options: LocalEngineOptions, rest: Seen['rest'] = {}, points = EVERYTHING): Promise<Seen> {
  const seen = new Seen(points, rest);
  await withLocalEngine(options, (local) => generated(local, { hooks: [seen.hook] }));
  return seen;
}

const positionsOf = ({ events }: Seen): number[] => [...new Set(events.map(({ position }) => position))];

describe('hooks', function () {
  this.timeout(60_000);

  it('are told token by token, layer by layer, of every token that is fed to the model, under the request’s name', async () => {
    const seen = new Seen({ routing: 'all', hiddenAfter: [0], routerScores: [2] });
    const { tokenIds } = await withLocalEngine({ numRanks: 2 }, (local) =>
      generated(local, { hooks: [seen.hook], id: 'mine' }),
    );
    const fed = [...PROMPT, ...tokenIds].slice(0, -1);
    const expected = fed.flatMap((tokenId, position) =>
      (
        [
          ['hiddenAfter', 0],
          ['routing', 1],
          ['routerScores', 2],
          ['routing', 2],
        ] as const
      ).map(([point, layer]) => ({ point, layer, position, tokenId, sequence: 0, request: 'mine' })),
    );
    const places = seen.events.map(({ point, layer, position, tokenId, sequence, request }) => ({
      ...{ point, layer, position, tokenId, sequence, request },
    }));
    expect(places).to.deep.equal(expected);
  });

  it('of the engine are told of all requests, scores too; those of a request of it alone', async () => {
    const [all, own] = [new Seen({ routing: [1] }), new Seen({ routing: [1] })];
    await withLocalEngine({ numRanks: 2, hooks: [all.hook] }, async (local) => {
      await Promise.all([generated(local, { hooks: [own.hook] }), generated(local, {})]);
      await local.engine.score({ tokenIds: PROMPT });
    });
    const numOf = (seen: Seen): number[] =>
      [0, 1, 2].map((sequence) => seen.events.filter((event) => event.sequence === sequence).length);
    const numFed = PROMPT.length + NEW - 1;
    expect(numOf(all)).to.deep.equal([numFed, numFed, PROMPT.length]);
    expect(numOf(own)).to.deep.equal([numFed, 0, 0]);
    expect(own.bits()).to.deep.equal(all.bits());
  });

  it('hear of each token once, with the same bits, where ranks are lost and steps run again', async () => {
    const placement = replicated(3);
    const undisturbed = (await seenOf({ numRanks: 3, placement })).bits();
    for (const faults of [[frame(1, 'dispatch', 0)], [frame(0, 'combine', 1)]]) {
      expect((await seenOf({ numRanks: 3, placement, faults })).bits()).to.deep.equal(undisturbed);
    }
  });

  it('hear of each token once where requests give way and are computed anew', async () => {
    const set = [
      'engine.block_size=4',
      'engine.num_kv_blocks=16',
      'engine.max_num_batched_tokens=24',
      'engine.max_num_seqs=4',
    ];
    await withLocalEngine({ numRanks: 1, set }, async (local) => {
      const all = [0, 1, 2].map(() => new Seen({ hiddenAfter: [2] }));
      const runs = all.map(({ hook }, i) =>
        generated(local, { promptTokenIds: PROMPT.slice(i), maxNewTokens: 16, hooks: [hook] }),
      );
      await Promise.all(runs);
      expect(local.engine.stats().numPreempted).to.be.above(0);
      all.forEach((seen, i) => {
        expect(positionsOf(seen)).to.deep.equal([...Array(PROMPT.length - i + 15).keys()]);
        expect(seen.events).to.have.length(PROMPT.length - i + 15);
      });
    });
  });

  it('look at the same share of the tokens whatever the ranks and chunks', async () => {
    const rest = { share: 0.4, seed: 7 };
    const drawn = [...Array(PROMPT.length + NEW - 1).keys()].filter((position) => uniform(7, 0, position) < 0.4);
    expect(drawn.length).to.be.within(2, 20);
    const bits = (await seenOf({ numRanks: 1 }, rest)).bits();
    const chunked = await seenOf(
      { numRanks: 3, set: ['engine.max_num_batched_tokens=7', 'engine.max_num_seqs=2'] },
      rest,
    );
    expect(chunked.bits()).to.deep.equal(bits);
    expect(positionsOf(chunked)).to.deep.equal(drawn);
  });

  it('look at the prompt alone, or at what was generated, which leaves the prompt to the prefix cache', async () => {
    const set = ['engine.block_size=4'];
    await withLocalEngine({ numRanks: 1, set }, async (local) => {
      const run = async (tokens: NonNullable<Hook['tokens']>): Promise<{ positions: number[]; numShared: number }> => {
        const before = local.engine.stats().numSharedTokens;
        const seen = new Seen({ routing: 'all' }, { tokens });
        await generated(local, { hooks: [seen.hook] });
        return { positions: positionsOf(seen), numShared: local.engine.stats().numSharedTokens - before };
      };
      const all = [...Array(PROMPT.length + NEW - 1).keys()];
      expect(await run('prompt')).to.deep.equal({ positions: all.slice(0, PROMPT.length), numShared: 0 });
      const { positions, numShared } = await run('generated');
      expect(positions).to.deep.equal(all.slice(PROMPT.length));
      expect(numShared).to.be.above(0);
    });
  });

  it('have what they share sent once, and experts not beside those that the request returns', async () => {
    await withLocalEngine({ numRanks: 2 }, async (local) => {
      const steps: ObservedStep[] = [];
      local.engine.watch({ step: (step) => void steps.push(step) });
      const hooks = [new Seen().hook, new Seen({ hiddenAfter: 'all', routerScores: 'all' }, { share: 0.5 }).hook];
      await generated(local, { hooks, returnRoutedExperts: true });
      const outputs = steps.flatMap(({ results }) => results.flatMap((result) => result?.outputs ?? []));
      expect(outputs).to.have.length(NEW);
      for (const { tables = [] } of outputs) {
        const names = tables.map(({ table, layer }) => `${table} ${layer}`);
        const own = ['moe_input', 'router_logits', 'weights', 'expert_outputs'].flatMap((table) =>
          MOE_LAYERS.map((layer) => `${table} ${layer}`),
        );
        expect([...names].sort()).to.deep.equal([...own, ...HIDDEN, ...LENS].sort());
        expect(tables.every(({ tokens }) => tokens === null)).to.equal(true);
      }
    });
  });

  it('cost nothing where nobody looks: no call, copy or byte more, and nothing is told', async () => {
    await withLocalEngine({ numRanks: 2, set: ['engine.prefix_cache=off'] }, async (local) => {
      const countsOf = (): number[] => {
        const { ranks, dispatchBytes, combineBytes } = local.engine.stats();
        const all = ranks.flatMap(({ numKernelCalls, numCopies, copiedBytes }) => [
          numKernelCalls,
          numCopies,
          copiedBytes,
        ]);
        return [...all, ...[...dispatchBytes, ...combineBytes].flat()];
      };
      const costOf = async (hooks: readonly Hook[]): Promise<number[]> => {
        const before = countsOf();
        await generated(local, { hooks });
        return countsOf().map((count, i) => count - before[i]!);
      };
      await costOf([]); // memory has grown
      const off = await costOf([]);
      const on = await costOf([new Seen().hook]);
      const steps: ObservedStep[] = [];
      local.engine.watch({ step: (step) => void steps.push(step) });
      expect(await costOf([])).to.deep.equal(off);
      expect(on.filter((count, i) => count > off[i]!)).not.to.have.length(0);
      for (const { plans, results } of steps) {
        for (const plan of plans) expect(plan).not.to.have.any.keys('outputs');
        for (const result of results)
          for (const output of result?.outputs ?? []) expect(output).not.to.have.any.keys('tables');
      }
    });
  });

  it('hold up the model for as long as the promise that they return is open', async () => {
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    let numTold = 0;
    const hook: Hook = {
      points: { routing: [1] },
      tokens: 'generated',
      onEvent: () => (numTold++ === 0 ? opened : undefined),
    };
    await withLocalEngine({ numRanks: 1 }, async (local) => {
      const run = generated(local, { hooks: [hook], maxNewTokens: 12 });
      while (numTold === 0) await new Promise(setImmediate);
      for (let i = 0; i < 200; i++) await new Promise(setImmediate);
      expect(numTold).to.equal(1);
      expect(local.engine.stats().numSteps).to.be.below(5);
      open();
      expect((await run).tokenIds).to.have.length(12);
      expect(numTold).to.equal(11);
    });
  });

  for (const what of ['given up', 'closed'] as const) {
    it(`hold up nothing any more, and hear of nothing, once their request is ${what}`, async () => {
      await withLocalEngine({ numRanks: 2 }, async (local) => {
        let numTold = 0;
        const onEvent = (): Promise<void> => (numTold++, new Promise<void>(() => undefined));
        const mine = new AbortController();
        const hooks: Hook[] = [{ points: { routing: 'all' }, onEvent }];
        const held = local.engine.generate({ promptTokenIds: PROMPT, maxNewTokens: NEW, hooks }, mine.signal).next();
        const outcome = held.then(String, (error: unknown) => (error as EngineError).code);
        while (numTold === 0) await new Promise(setImmediate);
        const other = generated(local, {}).then(
          ({ tokenIds }) => tokenIds.length,
          () => 0,
        );
        if (what === 'closed') await local.engine.close();
        else mine.abort();
        expect(await outcome).to.equal('CLOSED');
        expect(await other).to.equal(what === 'closed' ? 0 : NEW);
        expect(numTold).to.equal(1);
      });
    });
  }

  it('hold up the model for what can be awaited, whoever’s promise it is', async () => {
    const then = (_: unknown, reject: (error: Error) => void): void => reject(new Error('the disk is full'));
    const hook: Hook = { points: { routing: [1] }, onEvent: () => ({ then }) as unknown as Promise<void> };
    await withLocalEngine({ numRanks: 1 }, async (local) => {
      const error = await errorOf(EngineError, () => generated(local, { hooks: [hook] }));
      expect(error.message).to.match(/position 0: the disk is full/);
    });
  });

  it('may be objects of a class, with a method and fields of its own', async () => {
    class Probe implements Hook {
      readonly points = { routing: [1] };
      readonly layers: number[] = [];
      onEvent({ layer }: HookEvent): void {
        this.layers.push(layer);
      }
    }
    const probe = new Probe();
    await withLocalEngine({ numRanks: 1 }, (local) => generated(local, { hooks: [probe], maxNewTokens: 1 }));
    expect(probe.layers).to.deep.equal(PROMPT.map(() => 1));
  });

  for (const how of ['throws', 'rejects'] as const) {
    it(`one that ${how} ends its request alone, and says where it was`, async () => {
      const failing = (): Promise<void> => {
        const error = new Error('the disk is full');
        if (how === 'throws') throw error;
        return Promise.reject(error);
      };
      await withLocalEngine({ numRanks: 2 }, async (local) => {
        const hook: Hook = {
          points: { routerLogits: [2] },
          onEvent: ({ position }) => (position === 3 ? failing() : undefined),
        };
        const other = generate(local, { returnRoutedExperts: false });
        const error = await errorOf(EngineError, () => generated(local, { hooks: [hook] }));
        expect(error.code).to.equal('HOOK_FAILED');
        expect(error.message).to.match(/threw at routerLogits of layer 2, position 3: the disk is full; mend/);
        expect((await other).kinds.at(-1)).to.equal('finished');
      });
    });
  }

  const onEvent = (): void => undefined;
  const WRONG: readonly (readonly [unknown, RegExp])[] = [
    [5, /hooks\[0\] is 5; give an object/],
    [{ points: { routing: 'all' } }, /hooks\[0\]\.onEvent is missing; give a function/],
    [{ points: {}, onEvent }, /hooks\[0\]\.points is empty; name one of hiddenBefore, /],
    [{ points: { rooting: 'all' }, onEvent }, /hooks\[0\]\.points has no "rooting"; did you mean "routing"/],
    [
      { points: { routing: 'every' }, onEvent },
      /hooks\[0\]\.points\.routing is "every"; give 'all', or a list of layers/,
    ],
    [{ points: { routing: [] }, onEvent }, /hooks\[0\]\.points\.routing is .*; give 'all', or a list of layers/],
    [{ points: { routing: [0] }, onEvent }, /names layer 0, which is a dense layer; give layers of 1 … 2, or 'all'/],
    [{ points: { hiddenAfter: [3] }, onEvent }, /names layer 3, which is none of the model; give layers of 0 … 2/],
    [{ points: { routing: 'all' }, onEvent, share: 0 }, /hooks\[0\]\.share is 0; give a number over 0, up to 1/],
    [{ points: { routing: 'all' }, onEvent, tokens: 'some' }, /tokens is "some"; give 'all', 'prompt' or 'generated'/],
    [{ points: { routing: 'all' }, onEvent, seed: 0.5 }, /seed is 0.5; give a whole number from 0/],
    [{ points: { routing: 'all' }, onEvent, sample: 1 }, /hooks\[0\] has no "sample"; did you mean/],
  ];
  it('that are wrong are refused by name, and nothing runs', async () => {
    await withLocalEngine({ numRanks: 1 }, async (local) => {
      for (const [hook, message] of WRONG) {
        const error = await errorOf(EngineError, () => generated(local, { hooks: [hook as Hook] }));
        expect(error.message).to.match(message);
        expect(error.code).to.equal('INVALID_REQUEST');
      }
      expect(local.engine.stats().numSteps).to.equal(0);
    });
  });
});

describe('router logits of a request', () => {
  it('come with its tokens, of the share that was asked for, and are what hooks are told', async () => {
    await withLocalEngine({ numRanks: 2 }, async ({ engine }) => {
      for (const share of [true, 0.3] as const) {
        const seen = new Seen({ routerLogits: 'all' }, { share: Number(share) });
        const told: (readonly Float32Array[] | null)[] = [];
        const request = { promptTokenIds: PROMPT, maxNewTokens: NEW, ignoreEos: true, hooks: [seen.hook] };
        for await (const event of engine.generate({ ...request, returnRouterLogits: share })) {
          if (event.kind === 'token' || event.kind === 'finished') told.push(...event.routerLogits!);
        }
        expect(told).to.have.length(PROMPT.length + NEW - 1);
        const positions = positionsOf(seen);
        told.forEach((layers, position) => {
          const sequence = seen.events[0]!.sequence;
          const own = (): Float32Array[] =>
            MOE_LAYERS.map((layer) => seen.at('routerLogits', layer, position, sequence).values);
          expect(layers).to.deep.equal(positions.includes(position) ? own() : null);
        });
      }
    });
  });

  it('are refused where they would be too many', async () => {
    await withLocalEngine({ numRanks: 1, set: ['engine.num_kv_blocks=4096'] }, async ({ engine }) => {
      const { maxModelLen } = engine.limits;
      const wide = {
        ...engine.spec,
        moe: { ...engine.spec.moe, gate: { ...engine.spec.moe.gate, numExperts: 2 ** 20 } },
      };
      Reflect.set(engine, 'spec', wide);
      const request = { promptTokenIds: PROMPT, maxNewTokens: maxModelLen - PROMPT.length, returnRouterLogits: true };
      const error = await errorOf(EngineError, () => generateIds(engine, request));
      expect(error.message).to.match(
        /router logits of \d+ tokens, .* are \d+ numbers, and 8388608 can be told; ask for a smaller/,
      );
    });
  });
});
