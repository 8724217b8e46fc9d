import { expect } from 'chai';
import { copyFile, link, mkdir, readFile, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint, type Checkpoint } from '../../../lib/weights/checkpoint.js';
import { decodeToFloat32 } from '../../../lib/weights/dtypes.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { readSafetensors, writeSafetensors, type TensorToWrite } from '../../kit/model/safetensors_writer.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const TINY = tinyModel('tiny-deepseek-v3');
const EMBEDDING = 'model.embed_tokens.weight';

/** Opens, uses and closes a checkpoint. */
async function withCheckpoint<T>(dir: string, use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(dir);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

async function tinyTensors(): Promise<readonly TensorToWrite[]> {
  return readSafetensors(await readFile(join(TINY, 'model.safetensors')));
}

/** Writes the tiny model's tensors as shards, dealt out in turn, with their index. */
async function writeShards(dir: string, numShards: number): Promise<void> {
  const tensors = await tinyTensors();
  const name = (shard: number) => `model-0000${shard + 1}-of-0000${numShards}.safetensors`;
  for (let shard = 0; shard < numShards; shard++) {
    const own = tensors.filter((_, i) => i % numShards === shard);
    await writeFile(join(dir, name(shard)), writeSafetensors(own, { format: 'pt' }));
  }
  await writeIndex(dir, Object.fromEntries(tensors.map((tensor, i) => [tensor.name, name(i % numShards)])));
}

async function writeIndex(dir: string, weightMap: unknown): Promise<void> {
  await writeFile(join(dir, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
}

async function writeSmall(dir: string, dtype = 'F32', file = 'model.safetensors'): Promise<void> {
  const tensor = { name: 'a.weight', dtype, shape: [2, 3], bytes: new Uint8Array(dtype === 'F32' ? 24 : 6) };
  await writeFile(join(dir, file), writeSafetensors([tensor]));
}

describe('checkpoint', () => {
  it('reads every tensor of a model as the bytes on disk say', async () => {
    await withCheckpoint(TINY, async (checkpoint) => {
      const tensors = await tinyTensors();
      expect(checkpoint.names()).to.deep.equal(tensors.map(({ name }) => name).sort());
      for (const { name, dtype, shape, bytes } of tensors) {
        expect(checkpoint.info(name).shape).to.deep.equal(shape);
        expect(await checkpoint.read(name)).to.deep.equal(decodeToFloat32(bytes, dtype));
      }
    });
  });

  it('opening reads headers only, and a read only its own tensor', async () => {
    await withCheckpoint(moe7m(), async (checkpoint) => {
      expect(checkpoint.headerBytesRead).to.equal(8 + checkpoint.headers[0]!.byteLength);
      expect(checkpoint.bytesRead).to.equal(0);
      await checkpoint.read('model.norm.weight');
      expect(checkpoint.bytesRead).to.equal(192 * 2);
      await checkpoint.read(EMBEDDING);
      expect(checkpoint.bytesRead).to.equal(192 * 2 + 2048 * 192 * 2);
    });
  });

  it('shards hold the same tensors as the single file', async () => {
    await withTempFolder(async (dir) => {
      await writeShards(dir, 3);
      await withCheckpoint(dir, (sharded) =>
        withCheckpoint(TINY, async (single) => {
          expect(sharded.headers.length).to.equal(3);
          expect(sharded.names()).to.deep.equal(single.names());
          for (const name of single.names()) {
            expect(await sharded.read(name)).to.deep.equal(await single.read(name));
          }
          expect(sharded.bytesRead).to.equal(single.bytesRead);
        }),
      );
    });
  });

  it('many reads at once, across shards, return what single reads do', async () => {
    await withTempFolder(async (dir) => {
      await writeShards(dir, 2);
      await withCheckpoint(dir, async (checkpoint) => {
        const together = await Promise.all(checkpoint.names().map((name) => checkpoint.read(name)));
        for (const [i, name] of checkpoint.names().entries()) {
          expect(await checkpoint.read(name)).to.deep.equal(together[i]);
        }
      });
    });
  });

  it('a file that was written after it was opened is found out, one that got another name or further links is not', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir);
      const file = join(dir, 'model.safetensors');
      await withCheckpoint(dir, async (checkpoint) => {
        await link(file, join(dir, 'link'));
        await rename(file, join(dir, 'other'));
        await checkpoint.checkUnchanged();
        const { mtimeMs } = await stat(join(dir, 'link'));
        const content = await readFile(join(dir, 'link'));
        await writeFile(join(dir, 'link'), content);
        await utimes(join(dir, 'link'), 1, mtimeMs / 1000 + 1); // whatever the clock of the file system is
        const error = await errorOf(WeightError, () => checkpoint.checkUnchanged());
        expect([error.code, error.file]).to.deep.equal(['CHECKPOINT_CHANGED', file]);
        expect(error.message).to.match(/was written while it was read; restore the file/);
      });
    });
  });

  it('the same file has one identity, a copy of it another', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir);
      const [a, b] = [join(dir, 'a'), join(dir, 'b')];
      for (const folder of [a, b]) await mkdir(folder);
      await link(join(dir, 'model.safetensors'), join(a, 'model.safetensors'));
      await copyFile(join(dir, 'model.safetensors'), join(b, 'model.safetensors'));
      const [own, linked, copied] = await Promise.all(
        [dir, a, b].map((folder) => withCheckpoint(folder, (checkpoint) => Promise.resolve(checkpoint.identities))),
      );
      expect(linked).to.deep.equal(own);
      expect(copied).not.to.deep.equal(own);
    });
  });

  it('progress reports sum up to the bytes read', async () => {
    let reported = 0;
    const checkpoint = await openCheckpoint(TINY, { onProgress: (bytes) => (reported += bytes) });
    for (const name of checkpoint.names()) await checkpoint.read(name);
    expect(reported).to.equal(checkpoint.bytesRead).and.be.above(100_000);
    await checkpoint.close();
  });

  it('a missing tensor is named with the file searched and the nearest name', async () => {
    await withCheckpoint(TINY, async (checkpoint) => {
      expect(checkpoint.has('model.embed_token.weight')).to.equal(false);
      const error = await errorOf(WeightError, () => checkpoint.read('model.embed_token.weight'));
      expect(error.code).to.equal('MISSING_TENSOR');
      expect(error.tensor).to.equal('model.embed_token.weight');
      expect(error.message).to.contain(join(TINY, 'model.safetensors')).and.contain(`nearest name is "${EMBEDDING}"`);
    });
  });

  it('a tensor of a type that cannot be converted is refused when it is read, not when the file is opened', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir, 'F8_E4M3');
      await withCheckpoint(dir, async (checkpoint) => {
        const error = await errorOf(WeightError, () => checkpoint.read('a.weight'));
        expect(error.code).to.equal('UNKNOWN_DTYPE');
        expect(error.message).to.match(/"a\.weight".*F8_E4M3.*BF16, F16, F32$/);
      });
    });
  });

  it('a file that shrank after it was opened is an error, not zeros', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir);
      await withCheckpoint(dir, async (checkpoint) => {
        const { end } = checkpoint.info('a.weight');
        await truncate(join(dir, 'model.safetensors'), end - 5);
        const error = await errorOf(WeightError, () => checkpoint.read('a.weight'));
        expect(error.code).to.equal('MALFORMED_SAFETENSORS');
        expect(error.message).to.contain(`ends at byte ${end - 5}, but ${end} bytes were there`);
      });
    });
  });

  it('a malformed file is refused when it is opened', async () => {
    await withTempFolder(async (dir) => {
      await writeFile(join(dir, 'model.safetensors'), 'not a model');
      expect((await errorOf(WeightError, () => openCheckpoint(dir))).code).to.equal('MALFORMED_SAFETENSORS');
    });
  });

  it('what Git left in place of a large file is told as such, with what to do', async () => {
    await withTempFolder(async (dir) => {
      const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n';
      await writeFile(join(dir, 'model.safetensors'), pointer);
      const error = await errorOf(WeightError, () => openCheckpoint(dir));
      expect([error.code, error.file]).to.deep.equal(['GIT_LFS_POINTER', join(dir, 'model.safetensors')]);
      expect(error.message).to.match(/is a Git LFS pointer.*git lfs pull/);
      await writeFile(join(dir, 'config.json'), pointer);
      expect((await errorOf(WeightError, () => readModelFiles(dir))).code).to.equal('GIT_LFS_POINTER');
    });
  });

  it('a folder without weights is refused with what it holds instead', async () => {
    await withTempFolder(async (dir) => {
      await writeFile(join(dir, 'pytorch_model.bin'), '');
      const error = await errorOf(WeightError, () => openCheckpoint(dir));
      expect(error.code).to.equal('MODEL_NOT_FOUND');
      expect(error.message).to.contain('model.safetensors.index.json').and.contain('pytorch_model.bin');
      expect((await errorOf(WeightError, () => openCheckpoint(join(dir, 'nowhere')))).code).to.equal('MODEL_NOT_FOUND');
    });
  });

  it('an index that names a file which does not exist is refused with its name', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir, 'F32', 'x.safetensors');
      await writeIndex(dir, { 'a.weight': 'x.safetensors', 'b.weight': 'y.safetensors' });
      const error = await errorOf(WeightError, () => openCheckpoint(dir));
      expect(error.code).to.equal('MISSING_SHARD');
      expect(error.message).to.match(/names 2 files, of which 1 do not exist .*y\.safetensors; download/);
    });
  });

  it('a tensor that the index places in a shard without it matters only when it is read', async () => {
    await withTempFolder(async (dir) => {
      await writeSmall(dir, 'F32', 'x.safetensors');
      await writeIndex(dir, { 'a.weight': 'x.safetensors', 'b.weight': 'x.safetensors' });
      const checkpoint = await openCheckpoint(dir);
      expect(checkpoint.names()).to.deep.equal(['a.weight']);
      const error = await errorOf(WeightError, () => checkpoint.read('b.weight'));
      await checkpoint.close();
      expect(error.code).to.equal('MISSING_TENSOR');
      expect(error.tensor).to.equal('b.weight');
      expect(error.file).to.equal(join(dir, 'x.safetensors'));
    });
  });

  const WRONG_INDEXES: readonly (readonly [claim: string, text: string])[] = [
    ['is not JSON', '{'],
    ['is a list', '[]'],
    ['has no weight_map', '{}'],
    ['has an empty weight_map', '{"weight_map":{}}'],
    ['has a list as weight_map', '{"weight_map":["x.safetensors"]}'],
    ['gives a number as a file', '{"weight_map":{"a":1}}'],
    ['names a file outside of the folder', '{"weight_map":{"a":"../x.safetensors"}}'],
    ['names a tensor twice', '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}'],
  ];
  for (const [claim, text] of WRONG_INDEXES) {
    it(`an index that ${claim} is refused`, async () => {
      await withTempFolder(async (dir) => {
        await writeFile(join(dir, 'model.safetensors.index.json'), text);
        expect((await errorOf(WeightError, () => openCheckpoint(dir))).code).to.equal('INVALID_JSON');
      });
    });
  }

  it('an aborted read throws the reason of the signal', async () => {
    await withCheckpoint(TINY, async (checkpoint) => {
      const reason = new Error('no longer needed');
      expect(await errorOf(Error, () => checkpoint.read(EMBEDDING, { signal: AbortSignal.abort(reason) }))).to.equal(
        reason,
      );
      const controller = new AbortController();
      const reading = checkpoint.read(EMBEDDING, { signal: controller.signal });
      controller.abort(reason);
      expect(await errorOf(Error, () => reading)).to.equal(reason);
    });
  });

  it('close may be called again, and a later read says that the checkpoint is closed', async () => {
    const checkpoint = await openCheckpoint(TINY);
    await Promise.all([checkpoint.close(), checkpoint.close()]);
    await checkpoint.close();
    expect((await errorOf(WeightError, () => checkpoint.read(EMBEDDING))).code).to.equal('CLOSED');
  });

  it('a read under way when the checkpoint is closed ends with CLOSED', async () => {
    const checkpoint = await openCheckpoint(TINY);
    const reading = errorOf(WeightError, () => checkpoint.read(EMBEDDING));
    await checkpoint.close();
    expect((await reading).code).to.equal('CLOSED');
  });
});
