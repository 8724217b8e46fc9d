import { expect } from 'chai';
import { existsSync, truncateSync, utimesSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { asRank } from '../../../base/ids.js';
import type { JoinedRank } from '../../../comm/job/join.js';
import { ExpertError } from '../../../compute/base/errors.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { moeLayersOf } from '../../../lib/model/spec/spec.js';
import type { RankJob } from '../../../lib/protocol/rank_job.js';
import { loadRank, type LoadedRank } from '../../../lib/rank/loaded_rank.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { changeTensors, copyModel } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const NEVER = new AbortController().signal;

/** A rank that joined a job of one; `onOpened` is called when its checkpoint is open and no weight is read. */
async function joinedFor(
  dir: string,
  isOneFolder: boolean,
  onOpened: () => void = () => undefined,
  kvStore: RankJob['kvStore'] = null,
): Promise<JoinedRank> {
  const { config } = await readModelFiles(dir);
  const spec = modelSpecOf(config);
  const { numExperts } = spec.moe.gate;
  const { phy2log } = createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts, numRanks: 1 });
  const job: Partial<RankJob> = {
    plugins: [],
    codecs: [],
    ...{
      model: dir,
      spec,
      modelOverrides: {},
      isOneFolder,
      backend: 'wasm',
      webgpuAdapter: null,
      threads: 1,
      phy2log,
      moves: null,
      kvStore,
    },
    residence: { compute: 'kernels', experts: 'auto', dense: 'auto' },
    kernels: { fma: 'off', simd: 128 },
    ...{ mla: 'auto', microBatches: 1, trace: false, blockSize: 16, numKvBlocks: 4, maxNumBatchedTokens: 16 },
  };
  const joined = {
    ...{ rank: asRank(0), size: 1, job, link: { isOpen: true } },
    progress: () => undefined,
    agree: () => {
      onOpened();
      return Promise.resolve({ fma: false });
    },
  };
  return joined as unknown as JoinedRank;
}

async function close({ weights, crew }: LoadedRank): Promise<void> {
  await crew?.close();
  await weights.close();
}

/** Open files of this process below a folder; null where the system doesn't tell. */
async function openFiles(dir: string): Promise<string[] | null> {
  if (!existsSync('/proc/self/fd')) return null;
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((path) => path.startsWith(dir));
}

describe('a rank that loads', () => {
  it('hashes nothing where all ranks read one folder, and all that it holds where not', async () => {
    const dir = tinyModel('tiny-qwen3-moe');
    const loaded: LoadedRank[] = [];
    for (const isHeads of [true, false]) {
      loaded.push(await loadRank(await joinedFor(dir, isHeads), { readsHeadsFolder: isHeads }, NEVER));
      await close(loaded.at(-1)!);
    }
    const [own, elsewhere] = loaded;
    expect(own!.report.expertDigests).to.equal(undefined);
    expect(Object.keys(elsewhere!.report.expertDigests!)).to.have.length(
      own!.placement.numExperts.reduce((sum, count) => sum + count, 0),
    );
    expect(own!.report.bytesRead).to.equal(elsewhere!.report.bytesRead);
    expect(own!.fingerprint).not.to.equal(elsewhere!.fingerprint);
  });

  it('with a tier that the machine has no memory for is refused before it reads a weight', async () => {
    const kvStore = { ramBytes: 2 ** 50, disk: null, rowBytes: 1, stateBytes: 0 };
    const joined = await joinedFor(tinyModel('tiny-qwen3-moe'), true, () => expect.fail('it went on'), kvStore);
    const error = await errorOf(ExpertError, () => loadRank(joined, { readsHeadsFolder: true }, NEVER));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(error.message).to.contain('lower ram in engine.kv_tiers');
  });

  for (const isOneFolder of [true, false]) {
    const whose = isOneFolder ? "the head's folder" : 'a folder of its own';

    it(`from ${whose} that is written meanwhile ends with CHECKPOINT_CHANGED, and leaves no file open`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel('tiny-qwen3-moe'), dir);
        const file = join(dir, 'model.safetensors');
        const joined = await joinedFor(dir, isOneFolder, () => utimesSync(file, 1, 1));
        const error = await errorOf(WeightError, () => loadRank(joined, { readsHeadsFolder: isOneFolder }, NEVER));
        expect([error.code, error.file]).to.deep.equal(['CHECKPOINT_CHANGED', file]);
        expect((await openFiles(dir)) ?? []).to.deep.equal([]);
      });
    });

    it(`from ${whose} that shrinks meanwhile ends with MALFORMED_SAFETENSORS, and leaves no file open`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel('tiny-qwen3-moe'), dir);
        const file = join(dir, 'model.safetensors');
        const joined = await joinedFor(dir, isOneFolder, () => truncateSync(file, 5000));
        const error = await errorOf(WeightError, () => loadRank(joined, { readsHeadsFolder: isOneFolder }, NEVER));
        expect([error.code, error.file]).to.deep.equal(['MALFORMED_SAFETENSORS', file]);
        expect((await openFiles(dir)) ?? []).to.deep.equal([]);
      });
    });

    it(`from ${whose} that lacks a tensor of an expert ends with its name, and leaves no file open`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel('tiny-qwen3-moe'), dir);
        const lacking = 'model.layers.1.mlp.experts.1.down_proj.weight';
        await changeTensors(dir, (tensor) => (tensor.name === lacking ? undefined : tensor));
        const joined = await joinedFor(dir, isOneFolder);
        const error = await errorOf(WeightError, () => loadRank(joined, { readsHeadsFolder: isOneFolder }, NEVER));
        expect([error.code, error.tensor]).to.deep.equal(['MISSING_TENSOR', lacking]);
        expect((await openFiles(dir)) ?? []).to.deep.equal([]);
      });
    });

    it(`from ${whose} ends with the reason of its signal, and leaves no file open`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel('tiny-qwen3-moe'), dir);
        const reason = new Error('the head is gone');
        const controller = new AbortController();
        const joined = await joinedFor(dir, isOneFolder, () => void setImmediate(() => controller.abort(reason)));
        const loading = errorOf(Error, () => loadRank(joined, { readsHeadsFolder: isOneFolder }, controller.signal));
        expect(await loading).to.equal(reason);
        expect((await openFiles(dir)) ?? []).to.deep.equal([]);
      });
    });
  }
});
