import { expect } from 'chai';
import { expertOriginsOf } from '../../../lib/compare/expert_origins.js';
import { planComparison, scratchBytes, type ComparedModel } from '../../../lib/compare/comparison_plan.js';
import { numLensTokens } from '../../../lib/compare/text_pass.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';

const BOUNDS = { numTokens: 0, maxToldBytes: 2 ** 24 };

function model(
  kinds: string,
  shape: { hidden?: number; experts?: number; vocab?: number } = {},
): ComparedModel['spec'] {
  const { hidden = 8, experts = 4, vocab = 16 } = shape;
  const layers = kinds.split(' ').map((kind) => ({ kind: kind === 'm' ? 'moe' : 'dense' }));
  const gate = { numExperts: experts, numTopk: 2 };
  return { layers, hiddenSize: hidden, vocabSize: vocab, moe: { gate } } as unknown as ModelSpec;
}
const bare = (spec: ModelSpec): ComparedModel => ({ spec, origins: null });

describe('what of two models is compared', () => {
  it('is all of it where their layers are alike', () => {
    const plan = planComparison(bare(model('d m m')), bare(model('d m m')), [[1, 2, 3]], BOUNDS);
    expect(plan).to.deep.include({ numLayers: 3, hasHidden: true, lens: null, notes: [] });
    expect(plan.pairs).to.deep.equal([
      { a: 0, b: 0 },
      { a: 1, b: 1 },
    ]);
    expect(scratchBytes(plan, [[1, 2, 3]])).to.equal(4 * 3 * (16 + 2 * 2 + 3 * 8));
  });

  it('leaves out what can’t be, and says so', () => {
    const deeper = planComparison(bare(model('m m')), bare(model('m m m')), [[1, 2]], BOUNDS);
    expect(deeper).to.deep.include({ numLayers: 0, hasHidden: false, pairs: [] });
    expect(deeper.notes).to.deep.equal(['A has 2 layers and B 3: layers are not compared.']);
    const wider = planComparison(bare(model('m m')), bare(model('m m', { hidden: 9 })), [[1, 2]], BOUNDS);
    expect(wider).to.deep.include({ numLayers: 2, hasHidden: false });
    expect(wider.notes).to.deep.equal(['A has 8 channels and B 9: hidden states are not compared.']);
    const fewer = planComparison(bare(model('d m')), bare(model('m m', { experts: 2 })), [[1, 2]], BOUNDS);
    expect(fewer.pairs).to.deep.equal([]);
    expect(fewer.notes[0]).to.match(/^A has 4 experts and B 2, .*: choices of 1 layers are not compared\.$/);
  });

  it('knows a pruned model’s experts by the note in its config.json', () => {
    const origins = expertOriginsOf({ expertwire: { prune: { kept: [[0, 3]] } } });
    const pruned = { spec: model('m', { experts: 2 }), origins };
    expect(planComparison(bare(model('m')), pruned, [[1, 2]], BOUNDS)).to.deep.include({
      ...{ pairs: [{ a: 0, b: 0 }], notes: [] },
    });
    expect(planComparison(bare(model('m', { experts: 3 })), pruned, [[1, 2]], BOUNDS).pairs).to.deep.equal([]);
    for (const note of [undefined, null, 'x', { prune: 3 }, { prune: { kept: [[]] } }, { prune: { kept: [[-1]] } }]) {
      expect(expertOriginsOf({ expertwire: note })).to.equal(null);
    }
  });

  it('is the head’s view of as many layers, the last among them, as a step has room for, of about the tokens that are asked for', () => {
    const both = bare(model('m m m m m m m m', { vocab: 1000 }));
    const pieces = Array.from({ length: 4 }, () => Array.from({ length: 500 }, (_, i) => i));
    const lensAt = (maxToldBytes: number, numTokens = 200): ReturnType<typeof planComparison>['lens'] =>
      planComparison(both, both, pieces, { numTokens, maxToldBytes }).lens;
    expect(lensAt(2 ** 24)).to.deep.equal({ layers: [0, 1, 2, 3, 4, 5, 6, 7], share: 0.1 });
    expect(lensAt(4 * (8 * 8 + 1000 + 3 * 1000))!.layers).to.deep.equal([2, 5, 7]);
    expect(lensAt(4 * 1999)).to.equal(null);
    expect(lensAt(2 ** 24, 0)).to.equal(null);
    expect(lensAt(2 ** 24, 1e6)!.share).to.equal(1);
    expect(numLensTokens(pieces, { share: 0.1 })).to.be.within(150, 250);
    expect(numLensTokens(pieces, { share: 1 })).to.equal(2000);
  });
});
