import { expect } from 'chai';
import { mkdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../base/ids.js';
import { createPlacement, slotsOf } from '../../../experts/placement/placement.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { numHeldOf, withSlices } from '../../../lib/model/spec/slices.js';
import { expertSizesOf, moeLayersOf } from '../../../lib/model/spec/spec.js';
import { denseTensors } from '../../../lib/model/weights/rank_tensors.js';
import { CheckpointExperts } from '../../../lib/model/weights/weight_reader.js';
import { proofOf, type ProofOptions, type RankProof } from '../../../lib/rank/rank_proof.js';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import { Fingerprint } from '../../../lib/weights/fingerprint.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { copyModel, flipBit } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const TINY = tinyModel('tiny-qwen3-moe');
const ONE_FOLDER = { readsHeadsFolder: true, isOneFolder: true };
const ELSEWHERE = { readsHeadsFolder: false, isOneFolder: false };

async function withOptions<T>(
  dir: string,
  how: Pick<ProofOptions, 'readsHeadsFolder' | 'isOneFolder'>,
  use: (options: ProofOptions) => Promise<T>,
): Promise<T> {
  const { config, configBytes } = await readModelFiles(dir);
  const spec = modelSpecOf(config);
  const { numExperts } = spec.moe.gate;
  const placement = createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts, numRanks: 2 });
  const weights = await openWeights(dir, spec);
  try {
    const signal = new AbortController().signal;
    return await use({
      spec,
      weights,
      configBytes,
      modelOverrides: {},
      plugins: [],
      placement,
      rank: asRank(1),
      signal,
      ...how,
    });
  } finally {
    await weights.close();
  }
}

const proofIn = (dir: string, how: Pick<ProofOptions, 'readsHeadsFolder' | 'isOneFolder'>): Promise<RankProof> =>
  withOptions(dir, how, proofOf);

describe('what a rank proves', () => {
  it('of a folder elsewhere: hashes of all dense tensors in one, and a digest of each of its experts', async () => {
    await withOptions(TINY, ELSEWHERE, async (options) => {
      const { spec, weights, configBytes, placement, rank } = options;
      const dense = new Fingerprint([configBytes, ...weights.checkpoint.headers]);
      for (const name of denseTensors(spec, weights))
        for (const part of weights.parts(name)) dense.add(part.tensor.name, await weights.checkpoint.readPart(part));
      const digests: Record<string, string> = {};
      const onDigest = (key: string, digest: string): void => void (digests[key] = digest);
      const experts = new CheckpointExperts(weights, expertSizesOf(spec), { onDigest });
      for (const [moeLayer, layer] of moeLayersOf(spec).entries())
        for (const expert of slotsOf(placement, moeLayer, rank)) await experts.expert(layer, expert);
      expect(await proofOf(options)).to.deep.equal({ fingerprint: dense.digest(), expertDigests: digests });
    });
  });

  it('of slices are the digests of their experts, each whole and once', async () => {
    await withOptions(TINY, ELSEWHERE, async ({ spec, weights, ...options }) => {
      const digests: Record<string, string> = {};
      const onDigest = (key: string, digest: string): void => void (digests[key] = digest);
      const experts = new CheckpointExperts(weights, expertSizesOf(spec), { onDigest });
      // Of 32 slices rank 1 of 3 has 11 … 21.
      for (const layer of moeLayersOf(spec)) for (let e = 5; e <= 10; e++) await experts.expert(layer, e);
      const sliced = withSlices(spec, 2);
      const numExperts = numHeldOf(sliced);
      const placement = createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts, numRanks: 3 });
      const { expertDigests } = await proofOf({ ...options, weights, spec: sliced, placement });
      expect(expertDigests).to.deep.equal(digests);
    });
  });

  it("of the head's folder beside ranks elsewhere: the same fingerprint, and no expert", async () => {
    const own = await proofIn(TINY, { readsHeadsFolder: true, isOneFolder: false });
    const other = await proofIn(TINY, ELSEWHERE);
    expect(own).to.deep.equal({ fingerprint: other.fingerprint, expertDigests: {} });
  });

  it('is another where the job takes other fields of config.json than those that are written', async () => {
    const proofWith = (modelOverrides: ProofOptions['modelOverrides']): Promise<RankProof> =>
      withOptions(TINY, ONE_FOLDER, (options) => proofOf({ ...options, modelOverrides }));
    const [plain, one, two] = [{}, { num_experts_per_tok: 1 }, { num_experts_per_tok: 2 }].map(proofWith);
    const fingerprints = (await Promise.all([plain!, one!, two!])).map(({ fingerprint }) => fingerprint);
    expect(new Set(fingerprints).size).to.equal(3);
  });

  it('of the one folder of a job: the same for all, nothing is read, and another for the folder as it is after a write', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(TINY, dir);
      const [first, second] = [await proofIn(dir, ONE_FOLDER), await proofIn(dir, ONE_FOLDER)];
      expect(second).to.deep.equal(first);
      expect(first.expertDigests).to.deep.equal({});
      await flipBit(dir, 'model.norm.weight', 3);
      await utimes(join(dir, 'model.safetensors'), 1, 1);
      expect((await proofIn(dir, ONE_FOLDER)).fingerprint).not.to.equal(first.fingerprint);
    });
  });

  it("never equals what hashes prove: ranks that don't know of each other's folder don't meet", async () => {
    await withTempFolder(async (dir) => {
      const copy = join(dir, 'copy');
      await mkdir(copy);
      await copyModel(TINY, copy);
      const proofs = [ONE_FOLDER, ELSEWHERE].flatMap((how) => [proofIn(TINY, how), proofIn(copy, how)]);
      const [own, copied, hashed, hashedCopy] = (await Promise.all(proofs)).map(({ fingerprint }) => fingerprint);
      expect(hashedCopy).to.equal(hashed);
      expect(new Set([own, copied, hashed]).size).to.equal(3);
    });
  });
});
