import { expect } from 'chai';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { writeTensors, type TensorSource } from '../../../lib/weights/checkpoint_writer.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { writeNewFolder } from '../../../lib/weights/new_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Counts up from 0 through all elements. */
const counting = (name: string, shape: readonly number[]): TensorSource => ({
  ...{ name, shape, dtype: 'F32' },
  fill: (out, first) => {
    const view = new DataView(out.buffer, out.byteOffset);
    for (let at = 0; at < out.length; at += 4) view.setFloat32(at, (first + at) / 4, true);
  },
});

describe('writing a checkpoint', () => {
  it('a tensor larger than a piece is made piece by piece, in order, and read back whole', async () => {
    const pieces: [first: number, length: number][] = [];
    const large = counting('large', [3, 200_000]);
    const tensor: TensorSource = {
      ...large,
      fill: (out, first) => {
        pieces.push([first, out.length]);
        return large.fill(out, first);
      },
    };
    await withTempFolder(async (dir) => {
      expect(await writeTensors(dir, [tensor])).to.deep.equal({ files: ['model.safetensors'], totalBytes: 2_400_000 });
      const whole = 2 ** 20;
      expect(pieces).to.deep.equal([...[0, whole].map((first) => [first, whole]), [2 * whole, 302_848]]);
      const checkpoint = await openCheckpoint(dir);
      const values = await checkpoint.read('large');
      expect(values.every((value, i) => value === i)).to.equal(true);
      await checkpoint.close();
    });
  });

  it('tells after each piece how much is written, up to all of it, whatever the files', async () => {
    const tensors = [counting('a', [300_000]), { ...counting('b', [10]), dtype: 'BF16' }];
    for (const maxShardBytes of [undefined, 16]) {
      const told: [done: number, all: number][] = [];
      await withTempFolder((dir) =>
        writeTensors(dir, tensors, { maxShardBytes, onProgress: (done, all) => void told.push([done, all]) }),
      );
      const done = maxShardBytes === undefined ? [2 ** 20, 1_200_020] : [2 ** 20, 1_200_000, 1_200_020];
      expect(told).to.deep.equal(done.map((bytes) => [bytes, 1_200_020]));
    }
  });

  it('tensors of any size lie whole behind each other, each filled from multiples of 16 bytes on', async () => {
    const sizes = [3, 2 ** 18 - 5, 1, 2 ** 18 + 1, 7, 2 ** 19];
    const firsts: number[] = [];
    const tensors = sizes.map((size, i) => {
      const { fill, ...tensor } = counting(`t${i}`, [size]);
      return {
        ...tensor,
        fill: (out: Uint8Array, first: number) => {
          firsts.push(first);
          return fill(out, first);
        },
      };
    });
    await withTempFolder(async (dir) => {
      await writeTensors(dir, tensors);
      const checkpoint = await openCheckpoint(dir);
      for (const [i, size] of sizes.entries()) {
        const values = await checkpoint.read(`t${i}`);
        expect(values.length).to.equal(size);
        expect(values.every((value, at) => value === at)).to.equal(true);
      }
      await checkpoint.close();
    });
    expect(firsts.every((first) => first % 16 === 0)).to.equal(true);
    expect(firsts.length).to.be.above(sizes.length);
  });

  it('shards hold neighbours up to the limit, larger tensors alone, and the index names them', async () => {
    const tensors = [
      counting('a', [4]),
      counting('b', [4]),
      counting('c', [4]),
      counting('d', [20]),
      counting('e', [1]),
    ];
    await withTempFolder(async (dir) => {
      const written = await writeTensors(dir, tensors, { maxShardBytes: 32 });
      expect(written.totalBytes).to.equal(4 * 33);
      const [ab, c, d, e] = [1, 2, 3, 4].map((i) => `model-0000${i}-of-00004.safetensors`);
      expect(written.files).to.deep.equal([ab, c, d, e]);
      expect(await readdir(dir)).to.have.members([...written.files, 'model.safetensors.index.json']);
      const index = JSON.parse(await readFile(join(dir, 'model.safetensors.index.json'), 'utf8')) as object;
      const weight_map = { a: ab, b: ab, c, d, e };
      expect(index).to.deep.equal({ metadata: { total_size: 132 }, weight_map });
      const checkpoint = await openCheckpoint(dir);
      for (const { name, shape } of tensors) {
        const values = await checkpoint.read(name);
        expect([...values], name).to.deep.equal(Array.from({ length: shape[0]! }, (_, i) => i));
      }
      await checkpoint.close();
    });
  });
});

describe('a new folder', () => {
  const codeOf = async (act: () => Promise<unknown>): Promise<string> => (await errorOf(WeightError, act)).code;

  it('appears with all that was written, also in the place of an empty one', async () => {
    await withTempFolder(async (dir) => {
      await mkdir(join(dir, 'empty'));
      for (const name of ['new', 'empty']) {
        const seen = await writeNewFolder(join(dir, name), async (partial) => {
          await writeFile(join(partial, 'x'), name);
          return readdir(join(dir, 'new')).catch(() => 'none');
        });
        expect(await readFile(join(dir, name, 'x'), 'utf8')).to.equal(name);
        expect(seen).to.deep.equal(name === 'new' ? 'none' : ['x']);
      }
      expect(await readdir(dir)).to.have.members(['new', 'empty']);
    });
  });

  it('refuses a folder with files, a file, a folder without parent, and one filled meanwhile; leaves nothing behind', async () => {
    await withTempFolder(async (dir) => {
      const [full, file, raced] = [join(dir, 'full'), join(dir, 'file'), join(dir, 'raced')];
      await mkdir(full);
      await writeFile(join(full, 'x'), '');
      await writeFile(file, '');
      let calls = 0;
      const write = (): Promise<number> => Promise.resolve(++calls);
      expect(await codeOf(() => writeNewFolder(full, write))).to.equal('FOLDER_NOT_EMPTY');
      expect(await codeOf(() => writeNewFolder(file, write))).to.equal('WRITE_FAILED');
      expect(await codeOf(() => writeNewFolder(join(dir, 'no', 'parent'), write))).to.equal('WRITE_FAILED');
      expect(calls).to.equal(0);
      await mkdir(raced);
      const race = (): Promise<void> => writeFile(join(raced, 'y'), 'theirs');
      expect(await codeOf(() => writeNewFolder(raced, race))).to.equal('FOLDER_NOT_EMPTY');
      expect(await readFile(join(raced, 'y'), 'utf8')).to.equal('theirs');
      expect(await readdir(dir)).to.have.members(['full', 'file', 'raced']);
    });
  });

  it('what the writer throws is thrown, and a failure of the file system is coded; nothing is left', async () => {
    await withTempFolder(async (dir) => {
      const target = join(dir, 'new');
      const failing = async (partial: string): Promise<void> => {
        await writeFile(join(partial, 'x'), 'half');
        throw new RangeError('mine');
      };
      await errorOf(RangeError, () => writeNewFolder(target, failing));
      const looping = async (partial: string): Promise<void> => {
        await symlink('loop', join(partial, 'loop'));
        await writeFile(join(partial, 'loop'), 'x');
      };
      const error = await errorOf(WeightError, () => writeNewFolder(target, looping));
      expect(error.code).to.equal('WRITE_FAILED');
      expect(error.message).to.include(target).and.include('ELOOP');
      expect(await readdir(dir)).to.deep.equal([]);
    });
  });
});
