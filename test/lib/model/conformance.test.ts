/** Every field of a configuration acts exactly where Hugging Face transformers lets it act, or is refused by name. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { FAMILIES, modelSpecOf } from '../../../lib/model/families/registry.js';
import { conformanceFamilies, readConformance } from '../../kit/model/conformance.js';
import { conformanceText } from '../../kit/model/conformance_text.js';
import { ConformanceRun } from '../../kit/model/conformance_run.js';
import { AUTHORS, REFUSED } from '../../kit/model/refused_configs.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const TOLERANCE = 1e-4;

it('every family has goldens', () => {
  // The name of Ling's first generation, and of some of the second, is read by the code of bailing_moe_v2; qwen3_5_moe reads its text as qwen3_5_moe_text.
  const judged = Object.keys(FAMILIES).filter((family) => !['bailing_moe', 'qwen3_5_moe_text'].includes(family));
  expect(conformanceFamilies()).to.include.members(judged);
  expect(Object.keys(REFUSED)).to.have.members(judged);
});

it('docs/conformance.md is what scripts/conformance/table.mjs writes', () => {
  const text = readFileSync(join(repoRoot(), 'docs', 'conformance.md'), 'utf8');
  expect(text === conformanceText(), 'run that script after a build').to.equal(true);
});

for (const family of Object.keys(REFUSED)) {
  const goldens = readConformance(family);
  const refused = REFUSED[family]!;
  const run = new ConformanceRun(goldens);

  describe(`conformance of ${family} with transformers`, () => {
    for (const compute of run.computes) {
      it(`${compute}: logits of every variation that runs agree within ${TOLERANCE}`, async () => {
        const wrong: Record<string, number> = {};
        for (const golden of goldens.cases) {
          if (golden.logits === null || Object.hasOwn(refused, golden.name)) continue;
          const error = await run.errorOf(golden, compute);
          if (error !== null && !(error < TOLERANCE)) wrong[golden.name] = error;
        }
        expect(Object.keys(wrong), JSON.stringify(wrong)).to.have.members(AUTHORS[family] ?? []);
      }).timeout(60_000);

      it(`${compute}: the first chooses its experts and generates its tokens`, async () => {
        const { experts, greedy } = goldens;
        expect(await run.choices(compute)).to.deep.equal({ experts, greedy });
      });
    }

    if (!run.computes.includes('tensors')) {
      it('tensors: layers with states and indexers are refused by name', async () => {
        const refusal = await errorOf(ModelError, () => run.choices('tensors'));
        expect(refusal.message).to.contain('set compute: kernels');
      });
    }

    it('what it computes and we do not is refused by name', () => {
      for (const [name, field] of Object.entries(refused)) {
        const golden = goldens.cases.find((each) => each.name === name);
        if (golden === undefined) expect.fail(`no case is called ${name}`);
        expect(golden.logits, name).not.to.equal(null);
        expect(() => modelSpecOf(golden.config), name).to.throw(ModelError, field);
      }
    });

    it('what it refuses is refused too, or does no harm', () => {
      for (const { name, config, logits } of goldens.cases) {
        if (logits !== null) continue;
        try {
          modelSpecOf(config);
        } catch (error) {
          expect(error, name).to.be.instanceOf(ModelError);
        }
      }
    });
  });
}
