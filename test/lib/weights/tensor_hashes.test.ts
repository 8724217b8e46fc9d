import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint, type Checkpoint } from '../../../lib/weights/checkpoint.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { hashTensors } from '../../../lib/weights/tensor_hashes.js';
import { wholeOf, type TensorPart } from '../../../lib/weights/tensor_part.js';
import { readSafetensors, writeSafetensors } from '../../kit/model/safetensors_writer.js';
import { moe7m } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const NEVER = new AbortController().signal;

const partsOf = (checkpoint: Checkpoint, names = checkpoint.names()): TensorPart[] =>
  names.map((name) => wholeOf(checkpoint.info(name)));

describe('hashes of tensors', () => {
  for (const numThreads of [1, 3]) {
    it(`are those of the bytes on disk, ${numThreads} threads`, async () => {
      const checkpoint = await openCheckpoint(moe7m());
      const tensors = readSafetensors(await readFile(join(moe7m(), 'model.safetensors'))).slice(0, 60);
      const names = tensors.map(({ name }) => name);
      const hashes = await hashTensors(checkpoint, partsOf(checkpoint, names), { numThreads, signal: NEVER });
      const expected = tensors.map(({ name, bytes }) => [name, createHash('sha256').update(bytes).digest('hex')]);
      expect(Object.fromEntries(hashes)).to.deep.equal(Object.fromEntries(expected));
      expect(checkpoint.bytesRead, 'they are no weights that were loaded').to.equal(0);
      await checkpoint.close();
    });
  }

  it('of part of a tensor, by a name of its own, once where it is given twice', async () => {
    const checkpoint = await openCheckpoint(moe7m());
    const tensor = checkpoint.info('model.norm.weight');
    const part = { tensor, offset: 32, numBytes: 64 };
    const hashes = await hashTensors(checkpoint, [part, part], { signal: NEVER });
    const bytes = (await readFile(tensor.file)).subarray(tensor.begin + 32, tensor.begin + 96);
    const expected = createHash('sha256').update(bytes).digest('hex');
    expect([...hashes]).to.deep.equal([['model.norm.weight 32 64', expected]]);
    await checkpoint.close();
  });

  it('of a tensor larger than a piece, and of none at all', async () => {
    await withTempFolder(async (dir) => {
      const bytes = Uint8Array.from({ length: 4 * 700_001 }, (_, i) => i % 251);
      const tensor = { name: 'large', dtype: 'F32', shape: [700_001], bytes };
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors([tensor]));
      const checkpoint = await openCheckpoint(dir);
      const hashes = await hashTensors(checkpoint, partsOf(checkpoint), { signal: NEVER });
      expect(hashes.get('large')).to.equal(createHash('sha256').update(bytes).digest('hex'));
      expect((await hashTensors(checkpoint, [], { signal: NEVER })).size).to.equal(0);
      await checkpoint.close();
    });
  });

  it('a file that shrank after it was opened is an error with both bytes', async () => {
    await withTempFolder(async (dir) => {
      const tensor = { name: 'a', dtype: 'F32', shape: [6], bytes: new Uint8Array(24) };
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors([tensor]));
      const checkpoint = await openCheckpoint(dir);
      const { end } = checkpoint.info('a');
      await truncate(join(dir, 'model.safetensors'), end - 5);
      const error = await errorOf(WeightError, () => hashTensors(checkpoint, partsOf(checkpoint), { signal: NEVER }));
      expect(error.message).to.match(new RegExp(`MALFORMED.*ends at byte ${end - 5}, but ${end} bytes were there`));
      await checkpoint.close();
    });
  });

  it('what the system refuses to read is READ_FAILED, with the file', async () => {
    const checkpoint = await openCheckpoint(moe7m());
    const [part] = partsOf(checkpoint);
    const refused = { ...checkpoint.place(part!), fd: 2 ** 30 };
    const lying = Object.assign(Object.create(checkpoint) as typeof checkpoint, { place: () => refused });
    const error = await errorOf(WeightError, () => hashTensors(lying, [part!], { signal: NEVER }));
    expect([error.code, error.file]).to.deep.equal(['READ_FAILED', join(moe7m(), 'model.safetensors')]);
    await checkpoint.close();
  });

  it('an abort throws the reason of the signal, before and meanwhile', async () => {
    const checkpoint = await openCheckpoint(moe7m());
    const parts = partsOf(checkpoint);
    const reason = new Error('no longer needed');
    const before = AbortSignal.abort(reason);
    expect(await errorOf(Error, () => hashTensors(checkpoint, parts, { signal: before }))).to.equal(reason);
    const controller = new AbortController();
    const hashing = errorOf(Error, () => hashTensors(checkpoint, parts, { numThreads: 2, signal: controller.signal }));
    controller.abort(reason);
    expect(await hashing).to.equal(reason);
    await checkpoint.close();
  });
});
