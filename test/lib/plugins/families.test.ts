import { expect } from 'chai';
import { join } from 'node:path';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { ModelError } from '../../../lib/model/spec/errors.js';
import type { GateSpec } from '../../../compute/base/gate_spec.js';
import type { IndexerSpec, LongropeSpec, MlaSpec, ModelSpec } from '../../../lib/model/spec/spec.js';
import { PluginError } from '../../../lib/plugins/errors.js';
import { familiesOf } from '../../../lib/plugins/families.js';
import type { SpecOf } from '../../../lib/plugins/plugin.js';
import { PluginRegistry } from '../../../lib/plugins/plugin_registry.js';
import { specSchema } from '../../../lib/plugins/spec_schema.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { generateIds, scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { conformanceFamilies, readConformance } from '../../kit/model/conformance.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { changeJson, copyModel } from '../../kit/model/model_copy.js';
import { QWEN3, V3 } from '../../kit/model/published_configs.js';
import { repoRoot, tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits } from '../../refs/random.js';

async function familiesWith(specOf: SpecOf, name = 'mine') {
  const registry = new PluginRegistry();
  await registry.fill('a.mjs', (api) => api.registerFamily(name, specOf), {});
  return familiesOf(registry);
}

/** What a configuration of this family gives. */
const specWith = async (specOf: SpecOf): Promise<ModelSpec> =>
  modelSpecOf({ model_type: 'mine', answer: 42 }, {}, await familiesWith(specOf));

const refusalOf = async (change: (spec: ModelSpec) => unknown): Promise<string> =>
  (await errorOf(PluginError, () => specWith((_config, own) => change(own(QWEN3)) as ModelSpec))).message;

const withRope = (spec: ModelSpec, rope: Partial<ModelSpec['rope']>): ModelSpec => ({
  ...spec,
  rope: { ...spec.rope, ...rope },
});
const withGate = (spec: ModelSpec, gate: Partial<GateSpec>): ModelSpec => ({
  ...spec,
  moe: { ...spec.moe, gate: { ...spec.moe.gate, ...gate } },
});
const groups = (numGroups: number, topkGroups: number): GateSpec['groups'] => ({ numGroups, topkGroups, score: 'max' });
function longrope(numPairs: number): LongropeSpec {
  const factors = { ofPairs: Array.from({ length: numPairs }, () => 1), attentionFactor: 1 };
  return { kind: 'longrope', originalMaxPositions: 64, short: factors, long: factors, inForce: 'short' };
}
function withIndexer(spec: ModelSpec, change: Partial<IndexerSpec>): ModelSpec {
  const isOwn = spec.layers.map(() => true);
  const indexer = { ...{ numHeads: 2, headDim: 64, topk: 8, layout: 'half' as const, isOwn }, ...change };
  return { ...spec, attention: { ...(spec.attention as MlaSpec), indexer } };
}

describe('families of plug-ins', () => {
  it('are told by a schema that every family that is there keeps to', () => {
    let numSpecs = 0;
    for (const family of conformanceFamilies()) {
      for (const { config } of readConformance(family).cases) {
        let spec: ModelSpec;
        try {
          spec = modelSpecOf(config);
        } catch (error) {
          expect(error).to.be.instanceOf(ModelError); // of a field that is refused
          continue;
        }
        expect(specSchema.parse(spec)).to.deep.equal(spec);
        numSpecs++;
      }
    }
    expect(numSpecs).to.be.greaterThan(100);
  });

  it('make a spec of the whole config.json, and of what other families make of one; it has their name', async () => {
    const spec = await specWith(({ answer, model_type }, own) => {
      expect([answer, model_type]).to.deep.equal([42, 'mine']);
      return { ...own(V3), maxPositions: 1234 };
    });
    expect(spec).to.deep.equal({ ...modelSpecOf(V3), maxPositions: 1234, modelType: 'mine' });
  });

  it('that make what is no spec are refused with the family, its plug-in and what it gave', async () => {
    for (const [change, message] of [
      [() => undefined, /gave undefined as a spec: /],
      [(spec: ModelSpec) => Promise.resolve(spec), /gave a promise/],
      [
        (spec: ModelSpec) => ({ ...spec, hiddenSize: 1.5 }),
        /gave a spec whose hiddenSize is 1\.5: .*; give what a spec says/,
      ],
      [(spec: ModelSpec) => ({ ...spec, hiddenSize: undefined }), /gave a spec whose hiddenSize is undefined/],
      [(spec: ModelSpec) => ({ ...spec, hiddenSize: 2 ** 40 }), /gave a spec whose hiddenSize is 1099511627776/],
      [(spec: ModelSpec) => ({ ...spec, made: () => 1 }), /Unrecognized key: "made"/],
      [(spec: ModelSpec) => ({ ...spec, norm: 'other' }), /gave a spec whose norm is "other"/],
      [(spec: ModelSpec) => ({ ...spec, layers: [{ kind: 'moe' }] }), /gave a spec whose layers\.0\.mixer/],
      [
        (spec: ModelSpec) => ({ ...spec, moe: { ...spec.moe, gate: { ...spec.moe.gate, numTopk: 999 } } }),
        /numTopk must be at most numExperts/,
      ],
      [
        (spec: ModelSpec) => ({ ...spec, rope: { ...spec.rope, scaling: { kind: 'mine' } } }),
        /gave a spec whose rope\.scaling/,
      ],
      [(spec: ModelSpec) => withRope(spec, { dim: 7 }), /spec whose rope is \{"dim":7.*: dim must be even/],
      [(spec: ModelSpec) => withRope(spec, { dim: 1024 }), /spec whose rope is .*: dim must be at most headDim, 128/],
      [
        (spec: ModelSpec) => withRope(spec, { scaling: { kind: 'proportional', numTurning: 65, factor: 1 } }),
        /spec whose rope is .*: numTurning must be at most dim \/ 2/,
      ],
      [
        (spec: ModelSpec) => withRope(spec, { scaling: longrope(63) }),
        /rope is .*: ofPairs must have dim \/ 2 factors/,
      ],
      [
        (spec: ModelSpec) => withGate(spec, { numExperts: 4096 }),
        /numExperts is 4096: 48 layers of 4096 experts are more than 131072 experts/,
      ],
      [(spec: ModelSpec) => withGate(spec, { groups: groups(4, 5) }), /topkGroups be at most numGroups/],
      [(spec: ModelSpec) => withGate(spec, { groups: groups(64, 2) }), /and numTopk fit in topkGroups groups/],
      [
        (spec: ModelSpec) => ({ ...spec, layers: [] }),
        /spec whose layers is \[\]: one layer at least must be of experts/,
      ],
      [
        (spec: ModelSpec) => ({
          ...spec,
          layers: [{ kind: 'dense', intermediateSize: 8, mixer: { kind: 'attention', window: null } }],
        }),
        /spec whose layers is .*: one layer at least must be of experts/,
      ],
    ] as const) {
      expect(await refusalOf(change))
        .to.match(/^PLUGIN_FAILED: plug-in a\.mjs, family "mine": /)
        .and.match(message);
    }
    const threw = await errorOf(PluginError, () => specWith((_config, own) => own({ model_type: 'llama' })));
    expect(threw.message).to.match(/threw: UNSUPPORTED_MODEL: config\.json: model_type is "llama"/);
    for (const [change, message] of [
      [(spec: ModelSpec) => withRope(spec, { dim: 62 }), /rope is .*: dim must be qkRopeHeadDim, 64/],
      [
        (spec: ModelSpec) => withIndexer(spec, { headDim: 32 }),
        /indexer is .*: headDim must be at least rope\.dim, 64/,
      ],
      [(spec: ModelSpec) => withIndexer(spec, { isOwn: [true] }), /isOwn must tell of each of the 61 layers/],
      [
        (spec: ModelSpec) => withIndexer(spec, { isOwn: spec.layers.map((_layer, i) => i > 0) }),
        /the first layer must have its own/,
      ],
    ] as const) {
      expect((await errorOf(PluginError, () => specWith((_config, own) => change(own(V3))))).message).to.match(message);
    }
  });

  it('stand under a name of their own, and are listed where there is no such family', async () => {
    const taken = await errorOf(PluginError, () => familiesWith((_config, own) => own(V3), 'mixtral'));
    expect(taken.message).to.match(/^INVALID_PLUGIN: plug-in a\.mjs, family "mixtral": is there without plug-ins/);
    const families = await familiesWith((_config, own) => own(V3));
    expect(() => modelSpecOf({ model_type: 'other' }, {}, families)).to.throw(ModelError, 'qwen3_next, mine');
  });

  it('the example: a model under another name runs as the family that it is, with half of its choices', () =>
    withTempFolder(async (dir) => {
      const like = tinyModel('tiny-qwen3-moe');
      await copyModel(like, dir);
      await changeJson(join(dir, 'config.json'), { model_type: 'my_moe' });
      const prompt = tinyGolden('tiny-qwen3-moe').prompt_token_ids;
      const { config } = await readModelFiles(like);
      const half = (config as { num_experts_per_tok: number }).num_experts_per_tok / 2;
      const plugins = `plugins=["${join(repoRoot(), 'examples/plugins/renamed_family.mjs')}"]`;
      const outcomes = [];
      for (const [model, set] of [
        [dir, [plugins]],
        [like, [`model_overrides.num_experts_per_tok=${half}`]],
      ] as const) {
        const local = await startLocalEngine(model, { numRanks: 2, set });
        try {
          const generated = await generateIds(local.engine, { promptTokenIds: prompt, maxNewTokens: 4 });
          outcomes.push({ generated, logits: (await scoreIds(local.engine, prompt)).logits });
        } finally {
          await local.close();
        }
      }
      expect(outcomes[0]!.generated).to.deep.equal(outcomes[1]!.generated);
      expect(isSameBits(outcomes[0]!.logits, outcomes[1]!.logits)).to.equal(true);
    }));
});
