import { expect } from 'chai';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { overrideProblem } from '../../../../lib/model/weights/override_check.js';
import { overridesOf, type ResidentChoice } from '../../../../lib/model/weights/resident_overrides.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { moe7m } from '../../../kit/paths.js';

describe('overrides that can do nothing', () => {
  let spec: ModelSpec;
  before(async () => void (spec = modelSpecOf((await readModelFiles(moe7m())).config)));
  const problemOf = (globs: Readonly<Record<string, ResidentChoice>>): string | null =>
    overrideProblem(overridesOf(globs), spec);

  it('are none where each one matches a matrix that can be so, also one that a later one undoes', () => {
    expect(problemOf({})).to.equal(null);
    expect(problemOf({ 'layers.0.*': 'bf16', '*': 'int8', 'lm_head.weight': 'f32', '*proj*': 'int4' })).to.equal(null);
    expect(problemOf({ 'layers.1.mlp.gate.weight': 'f32', 'embed_tokens.weight': 'bf16' })).to.equal(null);
  });

  it('are none of a head that a checkpoint may have beside an embedding that could serve as one', () => {
    const tied = { ...spec, tieWordEmbeddings: true };
    expect(overrideProblem(overridesOf({ 'lm_head.*': 'int8' }), tied)).to.equal(null);
  });

  const MEANT: readonly (readonly [glob: string, meant: string])[] = [
    ['model.layers.0.*', 'layers.0.*'],
    ['model.layers.*.mlp.expert.3.*', 'layers.*.mlp.experts.3.*'],
    ['layer.0.*', 'layers.0.*'],
    ['layers.1.mlp.experts.3', 'layers.1.mlp.experts.3.*'],
    ['layers.*.self_atn.o_prj.weight', 'layers.*.self_attn.o_proj.weight'],
    ['lm_haed', 'lm_head.*'],
  ];
  for (const [glob, meant] of MEANT) {
    it(`${glob} matches nothing, and ${meant} was meant`, () => {
      const text = `has "${glob}", which no tensor of the model matches; did you mean "${meant}"?`;
      expect(problemOf({ 'layers.0.*': 'bf16', [glob]: 'int8' })).to.equal(text);
    });
  }

  it('where nothing is near, are told what names are like', () => {
    for (const glob of ['layers.99.*', 'transformer.h.*', '']) {
      expect(problemOf({ [glob]: 'int8' })).to.match(
        /names are like layers\.\d+\.mlp\.experts\.0\.gate_proj\.weight, and \*/,
      );
    }
  });

  it('are those of vectors alone, and codes for gates and the embedding alone', () => {
    expect(problemOf({ '*norm.weight': 'bf16' })).to.match(/has "\*norm.weight", which matches vectors alone/);
    for (const glob of ['layers.*.mlp.gate.*', 'embed_tokens.weight']) {
      expect(problemOf({ [glob]: 'int8' })).to.match(
        /as int8, and gates and the embedding are never codes; give bf16 or f32/,
      );
    }
  });
});
