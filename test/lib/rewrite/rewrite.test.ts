import { expect } from 'chai';
import { mkdir, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copiedTensor, madeTensor, madeTogether, pickedTensor } from '../../../lib/rewrite/new_tensors.js';
import { rewriteCheckpoint, type Rewriting } from '../../../lib/rewrite/rewrite.js';
import { openSource, type RewriteSource } from '../../../lib/rewrite/source.js';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import type { TensorSource } from '../../../lib/weights/checkpoint_writer.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const SIZES = { layers: 1, denseLayers: 0, hidden: 32, experts: 4, topk: 2, intermediate: 32, heads: 2, vocab: 300 };
const GATE = 'model.layers.0.mlp.gate.weight';

/** A source folder, and a new one beside it. */
const withSource = (use: (source: RewriteSource, out: string, parent: string) => Promise<void>): Promise<void> =>
  withTempFolder(async (parent) => {
    const config = randomConfig('qwen3_moe', { ...SIZES, dtype: 'F32' });
    await makeRandomCheckpoint(join(parent, 'from'), { config, dtype: 'F32', seed: 1, hasTokenizer: true });
    const source = await openSource(join(parent, 'from'));
    try {
      await use(source, join(parent, 'out'), parent);
    } finally {
      await source.close();
    }
  });

const allTensors = ({ weights: { checkpoint } }: RewriteSource): TensorSource[] =>
  checkpoint.names().map((name) => copiedTensor(checkpoint, checkpoint.info(name)));

const PLAIN: Omit<Rewriting, 'tensors'> = { edits: [], notes: {} };

describe('rewriting a checkpoint', () => {
  it('tensors that are copied are the same bytes, and so are all files but weights and config.json', async () => {
    await withSource(async (source, out, parent) => {
      const from = source.dir;
      await writeFile(join(parent, 'template'), 'a template');
      await symlink(join(parent, 'template'), join(from, 'chat_template.jinja'));
      await mkdir(join(from, '.cache'));
      await mkdir(join(from, 'original'));
      await writeFile(join(from, 'pytorch_model.bin'), 'weights in another form');
      await rewriteCheckpoint(source, out, { ...PLAIN, tensors: allTensors(source) }, { maxShardBytes: 20_000 });
      const made = await openCheckpoint(out);
      for (const name of source.weights.checkpoint.names()) {
        expect(await made.read(name), name).to.deep.equal(await source.weights.checkpoint.read(name));
      }
      await made.close();
      const files = (await readdir(out)).filter((name) => !name.startsWith('model'));
      expect(files.sort()).to.deep.equal([
        'chat_template.jinja',
        'config.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ]);
      expect(await readFile(join(out, 'chat_template.jinja'), 'utf8')).to.equal('a template');
      expect(await readFile(join(out, 'tokenizer.json'))).to.deep.equal(await readFile(join(from, 'tokenizer.json')));
    });
  });

  it('picked entries come in the order asked for, however pieces fall', async () => {
    await withSource(async (source, out) => {
      const { checkpoint } = source.weights;
      const picked = pickedTensor(checkpoint, checkpoint.info(GATE), [3, 0]);
      const before = {
        name: 'before',
        dtype: 'F32',
        shape: [2 ** 18 - 12],
        fill: (bytes: Uint8Array) => void bytes.fill(0),
      };
      await rewriteCheckpoint(source, out, { ...PLAIN, tensors: [before, picked] });
      const made = await openCheckpoint(out);
      const rows = await checkpoint.read(GATE);
      expect(made.info(GATE).shape).to.deep.equal([2, 32]);
      expect([...(await made.read(GATE))]).to.deep.equal([...rows.subarray(96, 128), ...rows.subarray(0, 32)]);
      await made.close();
    });
  });

  it('what comes of one computation is computed once', async () => {
    await withSource(async (source, out) => {
      let numMade = 0;
      const bytes = (value: number, size: number): Uint8Array => new Uint8Array(size).fill(value);
      const heads = [
        { name: 'a', dtype: 'U8', shape: [2 ** 20 + 3] },
        { name: 'b', dtype: 'U8', shape: [5] },
      ];
      const two = madeTogether(heads, () => {
        numMade++;
        return Promise.resolve([bytes(1, 2 ** 20 + 3), bytes(2, 5)]);
      });
      const own = madeTensor({ name: 'c', dtype: 'U8', shape: [3] }, () => bytes(3, 3));
      await rewriteCheckpoint(source, out, { ...PLAIN, tensors: [...two, own] });
      const made = await openCheckpoint(out);
      const partOf = (name: string) =>
        made.readPart({ tensor: made.info(name), offset: 0, numBytes: made.info(name).shape[0]! });
      for (const [name, value] of Object.entries({ a: 1, b: 2, c: 3 })) {
        expect(
          (await partOf(name)).every((each) => each === value),
          name,
        ).to.equal(true);
      }
      expect(numMade).to.equal(1);
      await made.close();
    });
  });

  it('config.json has the changes, and notes beside former ones', async () => {
    await withSource(async (source, out, parent) => {
      const tensors = allTensors(source);
      await rewriteCheckpoint(source, out, { tensors, edits: [{ path: ['k'], value: 3 }], notes: { first: 1 } });
      const second = await openSource(out);
      const last = join(parent, 'last');
      await rewriteCheckpoint(second, last, { tensors: allTensors(second), edits: [], notes: { second: 2 } });
      await second.close();
      const config = JSON.parse(await readFile(join(last, 'config.json'), 'utf8')) as object;
      expect(config).to.deep.equal({ ...source.config, k: 3, expertwire: { first: 1, second: 2 } });
    });
  });

  it('nothing is left when it is interrupted, fails, or the source is written meanwhile', async () => {
    await withSource(async (source, out, parent) => {
      const end = new AbortController();
      const failing = (act: () => void): TensorSource => ({ name: 'a', dtype: 'U8', shape: [1], fill: act });
      const rewriteWith = (act: () => void): Promise<Error> => {
        const tensors = [failing(act), ...allTensors(source)];
        return errorOf(Error, () => rewriteCheckpoint(source, out, { ...PLAIN, tensors }, { signal: end.signal }));
      };
      const broken = new Error('broken');
      const breakIt = (): void => {
        throw broken;
      };
      expect(await rewriteWith(breakIt)).to.equal(broken);
      expect(await rewriteWith(() => end.abort(new Error('interrupted')))).to.equal(end.signal.reason);
      const file = join(source.dir, 'model.safetensors');
      const touching = { name: 'z', dtype: 'U8', shape: [1], fill: () => utimes(file, 1, 1) };
      const tensors = [...allTensors(source), touching];
      const changed = await errorOf(WeightError, () => rewriteCheckpoint(source, out, { ...PLAIN, tensors }));
      expect(changed.code).to.equal('CHECKPOINT_CHANGED');
      expect(await readdir(parent)).to.deep.equal(['from']);
    });
  });

  it('a folder with files, and a disk without room, are refused before anything is made', async () => {
    await withSource(async (source, out) => {
      const neverMade = (): never => {
        throw new Error('made');
      };
      const never = { name: 'a', dtype: 'U8', shape: [1], fill: neverMade };
      const rewriteTo = (dir: string, tensor: TensorSource): Promise<WeightError> =>
        errorOf(WeightError, () => rewriteCheckpoint(source, dir, { ...PLAIN, tensors: [tensor] }));
      expect((await rewriteTo(source.dir, never)).code).to.equal('FOLDER_NOT_EMPTY');
      const { code, message } = await rewriteTo(out, { ...never, shape: [2 ** 50] });
      expect(code).to.equal('WRITE_FAILED');
      expect(message).to.include('its disk has');
    });
  });
});
