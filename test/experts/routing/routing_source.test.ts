import { mostOf } from '../../../experts/placement/expert_counts.js';
import { expect } from 'chai';
import fc from 'fast-check';
import { join } from 'node:path';
import { ExpertError } from '../../../compute/base/errors.js';
import { LoadRecorder, type StepRouting } from '../../../experts/load/load_recorder.js';
import { placementFrom } from '../../../experts/placement/placement.js';
import { recordedRouting } from '../../../experts/routing/recorded_routing.js';
import type { RecordMode } from '../../../experts/load/recording.js';
import {
  POSITIONS_PER_WINDOW,
  replayedRouting,
  syntheticRouting,
  windowedRouting,
  type RoutingShape,
  type RoutingSource,
} from '../../../experts/routing/routing_source.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const SHAPE = { numLayers: 2, numExperts: 8, numTopk: 2 };

const chosen = (source: RoutingSource, shape: RoutingShape, request: number, position: number): number[] => {
  const out = new Uint16Array(shape.numLayers * shape.numTopk);
  source.choose(request, position, out);
  return [...out];
};

/** Share of a layer's choices that each expert gets, over many tokens. */
function sharesOf(
  source: RoutingSource,
  shape: RoutingShape,
  layer: number,
  positions = POSITIONS_PER_WINDOW,
): number[] {
  const counts = new Array<number>(mostOf(shape.numExperts)).fill(0);
  const numRequests = 40_000 / positions;
  for (let request = 0; request < numRequests; request++) {
    for (let position = 0; position < positions; position++) {
      const all = chosen(source, shape, request, position);
      for (const e of all.slice(layer * shape.numTopk, (layer + 1) * shape.numTopk)) counts[e]!++;
    }
  }
  return counts.map((count) => count / (numRequests * positions * shape.numTopk));
}

describe('routing by something else than the gate', () => {
  it('a token has K different experts that exist, whatever the load', () => {
    const load = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e6, noNaN: true })), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(load, fc.nat(11), fc.nat(), fc.nat(), (load_E, k, request, position) => {
        const shape = { numLayers: 1, numExperts: load_E.length, numTopk: Math.min(k + 1, load_E.length) };
        const experts = chosen(windowedRouting([[load_E]], shape, 5), shape, request, position);
        expect(new Set(experts)).to.have.property('size', shape.numTopk);
        for (const e of experts) expect(e).to.be.within(0, load_E.length - 1);
        const numLoaded = load_E.filter((value) => value > 0).length;
        if (numLoaded >= shape.numTopk) for (const e of experts) expect(load_E[e]).to.be.above(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('experts get the shares of the load, up to the one choice in K that a token can give', () => {
    const even = sharesOf(windowedRouting([[[3, 1, 1, 1, 2, 0, 0, 0], new Float64Array(8)]], SHAPE), SHAPE, 0);
    [3 / 8, 1 / 8, 1 / 8, 1 / 8, 2 / 8, 0, 0, 0].forEach((share, e) => expect(even[e]).to.be.closeTo(share, 0.01));
    const none = sharesOf(windowedRouting([[new Float64Array(8), new Float64Array(8)]], SHAPE), SHAPE, 1);
    for (const share of none) expect(share).to.be.closeTo(1 / 8, 0.01);
    // 70 % are more than half: what is above goes to the others, in proportion.
    const capped = sharesOf(windowedRouting([[[7, 1, 2, 0, 0, 0, 0, 0], new Float64Array(8)]], SHAPE), SHAPE, 0);
    expect(capped[0]).to.equal(0.5);
    expect(capped[1]).to.be.closeTo(0.5 / 3, 0.01);
    expect(capped[2]).to.be.closeTo(1 / 3, 0.01);
  });

  it('depends on request, position, layer and seed alone', () => {
    const [one, two] = [0, 0].map(() => syntheticRouting({ kind: 'drift', alpha: 1, stay: 0.5 }, SHAPE, 4));
    const places = Array.from({ length: 200 }, (_, i) => [i % 7, (i * 37) % 300] as const);
    const first = places.map(([r, p]) => chosen(one!, SHAPE, r, p));
    const last = [...places].reverse().map(([r, p]) => chosen(two!, SHAPE, r, p));
    expect(last.reverse()).to.deep.equal(first);
    const uniform = (seed: number): number[][] => {
      const source = syntheticRouting({ kind: 'uniform' }, SHAPE, seed);
      return places.map(([r, p]) => chosen(source, SHAPE, r, p));
    };
    expect(uniform(1)).not.to.deep.equal(uniform(2));
    const layers = uniform(1).filter((experts) => experts.slice(0, 2).join() === experts.slice(2).join());
    expect(layers.length).to.be.below(40); // 1 of 56 by chance
  });

  it('an unbalanced load is unbalanced by what was asked, a drifting one moves with the position', () => {
    const skewed = syntheticRouting({ kind: 'unbalanced', numRanks: 4, skew: 1.6 }, SHAPE);
    const shares = sharesOf(skewed, SHAPE, 1);
    const ranks = [0, 2, 4, 6].map((e) => 4 * (shares[e]! + shares[e + 1]!)).sort((a, b) => b - a);
    [1.6, 0.8, 0.8, 0.8].forEach((skew, rank) => expect(ranks[rank]).to.be.closeTo(skew, 0.04));
    const drifting = syntheticRouting({ kind: 'drift', alpha: 2, stay: 0 }, SHAPE);
    const hottestAt = (window: number): number => {
      const counts = new Array<number>(8).fill(0);
      for (let r = 0; r < 200; r++) counts[chosen(drifting, SHAPE, r, window * POSITIONS_PER_WINDOW)[0]!]!++;
      return counts.indexOf(Math.max(...counts));
    };
    expect(new Set(Array.from({ length: 20 }, (_, w) => hottestAt(w))).size).to.be.above(2);
  });

  it('replays tokens, over and over', () => {
    const shape = { numLayers: 1, numExperts: 8, numTopk: 2 };
    const source = replayedRouting([Uint16Array.of(0, 1, 2, 3, 4, 5), Uint16Array.of(6, 7)], shape);
    expect(chosen(source, shape, 0, 1)).to.deep.equal([2, 3]);
    expect(chosen(source, shape, 2, 5)).to.deep.equal([4, 5]);
    expect(chosen(source, shape, 3, 9)).to.deep.equal([6, 7]);
  });

  const write = async (file: string, mode: RecordMode, steps: readonly StepRouting[]): Promise<void> => {
    const header = { mode, model: 'm', ...SHAPE, createdBy: 'test' };
    const recorder = await LoadRecorder.create(file, header, { windowSize: 1 });
    for (const step of steps) await recorder.add(step);
    await recorder.close();
  };

  /** Windows whose choices all fall on two experts. */
  const windowOf = (step: number, hot: number): StepRouting => {
    const load_E = Float64Array.from({ length: 8 }, (_, e) => (e === hot || e === hot + 1 ? 5 : 0));
    return { step, numTokens: 5, load_LE: [load_E, load_E], tokens: [] };
  };

  it('follows the windows of a recording, and halves their resolution when they are too many', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r');
      await write(file, 'per_pass', [windowOf(1, 0), windowOf(2, 4)]);
      const source = await recordedRouting(file, SHAPE);
      const at = (window: number): number[] => chosen(source, SHAPE, 9, window * POSITIONS_PER_WINDOW + 3).sort();
      expect([0, 1, 2, 3].map(at)).to.deep.equal([
        [0, 0, 1, 1],
        [4, 4, 5, 5],
        [0, 0, 1, 1],
        [4, 4, 5, 5],
      ]);
      // 300 windows, 2 by 2: the first 100 pairs hot at 0, the others at 4.
      await write(
        file,
        'per_pass',
        Array.from({ length: 300 }, (_, i) => windowOf(i, i < 200 ? 0 : 4)),
      );
      const long = await recordedRouting(file, SHAPE);
      const longAt = (window: number): number => Math.min(...chosen(long, SHAPE, 1, window * POSITIONS_PER_WINDOW));
      expect([0, 99, 100, 149, 150, 250].map(longAt)).to.deep.equal([0, 0, 4, 4, 0, 4]);
    });
  });

  it('joins records that are short because the placement changed, and gives every window its full weight', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r');
      const rotated = (shift: number): Int32Array => Int32Array.from({ length: 8 }, (_, e) => (e + shift) % 8);
      const placements = [0, 1].map((shift) => placementFrom(shift, 1, 8, [rotated(shift), rotated(shift)]));
      const header = { mode: 'stat', model: 'm', ...SHAPE, createdBy: 'test', windowSize: 4 } as const;
      const slots = { numRanks: 1, numSlots: 8 };
      const recorder = await LoadRecorder.create(file, { ...header, slots }, { windowSize: 4 });
      // Records of 4, 1, 4 and 3 steps: the short second one belongs to the third.
      for (let step = 1; step <= 12; step++) {
        const hot = step <= 4 ? 0 : step <= 9 ? 4 : 2;
        await recorder.add({ ...windowOf(step, hot), placement: placements[step <= 5 ? 0 : 1]! });
      }
      await recorder.close();
      expect(recorder.numRecords).to.equal(4);
      const source = await recordedRouting(file, SHAPE);
      const at = (window: number): number => Math.min(...chosen(source, SHAPE, 9, window * POSITIONS_PER_WINDOW));
      expect([0, 1, 2, 3].map(at)).to.deep.equal([0, 4, 2, 0]);
    });
  });

  it('refuses recordings that are of another shape, empty, or have gaps', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r');
      const refusal = async (shape = SHAPE): Promise<string> => {
        const error = await errorOf(ExpertError, () => recordedRouting(file, shape));
        expect(error).to.include({ code: 'BAD_RECORDING', file });
        return error.message;
      };
      await write(file, 'stat', [windowOf(1, 0)]);
      expect(await refusal({ ...SHAPE, numExperts: 16 })).to.contain(
        'of m with 2 MoE layers of 8 experts, 2 per token; this model has 2 MoE layers of 16 experts, 2 per token',
      );
      await write(file, 'stat', []);
      expect(await refusal()).to.contain('no records');
      const token = (position: number) => ({ step: 1, request: 3, position, tokenId: 1, experts: new Uint16Array(4) });
      const load_LE: Float64Array[] = [];
      await write(file, 'per_token', [{ step: 1, numTokens: 2, load_LE, tokens: [token(0), token(2)] }]);
      expect(await refusal()).to.contain('request 3 goes on at position 2, and 1 was to come');
    });
  });
});
