/** Every field of a configuration acts exactly where Hugging Face transformers lets it act, or is refused by name. */
import { expect } from 'chai';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { FAMILIES, modelSpecOf } from '../../../lib/model/families/registry.js';
import {
  conformanceFamilies,
  readConformance,
  writeConformanceModel,
  type ConformanceCase,
} from '../../kit/model/conformance.js';
import { REFUSED } from '../../kit/model/refused_configs.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJob } from '../../kit/engine/local_job.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Of the largest logit, or of 1. */
const TOLERANCE = 1e-4;

it('every family has goldens', () => {
  // The name of Ling's first generation, and of some of the second, is read by the code of bailing_moe_v2.
  const judged = Object.keys(FAMILIES).filter((family) => family !== 'bailing_moe');
  expect(conformanceFamilies()).to.include.members(judged);
  expect(Object.keys(REFUSED)).to.have.members(judged);
});

for (const family of Object.keys(REFUSED)) {
  const { tokens, positions, greedy, experts, cases } = readConformance(family);
  const refused = REFUSED[family]!;
  const known = new Map<string, Uint8Array>();

  const withJob = async <T>(
    golden: ConformanceCase,
    compute: 'kernels' | 'tensors',
    run: (job: LocalJob) => Promise<T>,
  ): Promise<T> =>
    withTempFolder(async (dir) => {
      await writeConformanceModel(dir, golden, known);
      const job = await startLocalJob(dir, { residence: { compute }, maxTokens: tokens.length });
      const result = await run(job);
      await job.close();
      return result;
    });

  /** Logits [positions][V] of a case. */
  const logitsOf = (golden: ConformanceCase, compute: 'kernels' | 'tensors'): Promise<number[][]> =>
    withJob(golden, compute, async (job) => {
      const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
      const logits = outputs![0]!.logits!;
      const width = logits.length / tokens.length;
      return positions.map((position) => [...logits.subarray(position * width, (position + 1) * width)]);
    });

  describe(`conformance of ${family} with transformers`, () => {
    const hasStates = modelSpecOf(cases[0]!.config).layers.some(({ mixer }) => mixer.kind !== 'attention');
    for (const compute of hasStates ? (['kernels'] as const) : (['kernels', 'tensors'] as const)) {
      it(`${compute}: logits of every variation that runs agree within ${TOLERANCE}`, async () => {
        const wrong: string[] = [];
        for (const golden of cases) {
          if (golden.logits === null || Object.hasOwn(refused, golden.name)) continue;
          // The engine admits no sequence beyond the model's positions.
          if (tokens.length > modelSpecOf(golden.config).maxPositions) continue;
          const actual = (await logitsOf(golden, compute)).flat();
          const expected = golden.logits.flat();
          const size = Math.max(1, largest(expected.map(Math.abs)));
          const error = largest(expected.map((value, i) => Math.abs(value - actual[i]!))) / size;
          if (!(error < TOLERANCE)) wrong.push(`${golden.name}: ${error}`);
        }
        expect(wrong).to.deep.equal([]);
      }).timeout(60_000);

      it(`${compute}: the first chooses its experts and generates its tokens`, async () => {
        await withJob(cases[0]!, compute, async (job) => {
          const [outputs] = await job.step([[promptPart(0, tokens)]], [[startOf(0)]]);
          const { tokenId, routedExperts } = outputs![0]!;
          expect(byLayerOf(routedExperts!, experts.length, tokens.length)).to.deep.equal(experts);
          const generated = [tokenId!];
          while (generated.length < greedy.length) {
            const position = tokens.length + generated.length - 1;
            const [next] = await job.step([[outputPart(0, generated.at(-1)!, position)]]);
            generated.push(next![0]!.tokenId!);
          }
          expect(generated).to.deep.equal(greedy);
        });
      });
    }

    if (hasStates) {
      it('tensors: layers with states are refused by name', async () => {
        const refusal = await errorOf(ModelError, () => withJob(cases[0]!, 'tensors', () => Promise.resolve()));
        expect(refusal.message).to.contain('set compute: kernels');
      });
    }

    it('what it computes and we do not is refused by name', () => {
      for (const [name, field] of Object.entries(refused)) {
        const golden = cases.find((each) => each.name === name);
        if (golden === undefined) expect.fail(`no case is called ${name}`);
        expect(golden.logits, name).not.to.equal(null);
        expect(() => modelSpecOf(golden.config), name).to.throw(ModelError, field);
      }
    });

    it('what it refuses is refused too, or does no harm', () => {
      for (const { name, config, logits } of cases) {
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

const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);

/** Experts [T][MoE layer][K] as [MoE layer][T], each list ascending. */
function byLayerOf(routed: ArrayLike<number>, numLayers: number, numTokens: number): number[][][] {
  const numTopk = routed.length / (numLayers * numTokens);
  const choice = (layer: number, t: number): number[] =>
    Array.from({ length: numTopk }, (_, k) => routed[(t * numLayers + layer) * numTopk + k]!);
  return Array.from({ length: numLayers }, (_, layer) =>
    Array.from({ length: numTokens }, (__, t) => choice(layer, t).toSorted((a, b) => a - b)),
  );
}
