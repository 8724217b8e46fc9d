/** The GGUF files that `bench peers` gives llama.cpp are the checkpoints that we load. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { relativeError } from '../../bench/peers/ratios.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { moe7m, repoRoot, tinyModel } from '../kit/paths.js';
import { pythonWith } from '../kit/processes/python.js';
import { withTempFolder } from '../kit/temp_folder.js';

const SCRIPTS = join(repoRoot(), 'scripts', 'peers');
const IDS = Array.from({ length: 24 }, (_, i) => (37 * i + 5) % 64);

/** What the file says: architecture, number of tensors, how many of them are kept in each type. */
const READ = `
import collections, json, sys, gguf
reader = gguf.GGUFReader(sys.argv[1])
types = collections.Counter(tensor.tensor_type.name for tensor in reader.tensors)
print(json.dumps({'architecture': reader.fields['general.architecture'].contents(), 'types': types}))`;

describe('GGUF files for llama.cpp', function () {
  this.timeout(300_000);
  let python: string;
  let hasLlama: boolean;

  before(async function () {
    const found = await pythonWith('gguf');
    if (found === null) return this.skip();
    python = found;
    hasLlama = (await pythonWith('llama_cpp')) !== null;
  });

  const run = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(python, args, { maxBuffer: 2 ** 24 })).stdout;

  for (const [model, architecture] of [
    [tinyModel('tiny-qwen3-moe'), 'qwen3moe'],
    [moe7m(), 'deepseek2'],
  ] as const) {
    it(`${architecture}: matrices in the type asked for, vectors in f32`, async () => {
      await withTempFolder(async (dir) => {
        for (const dtype of ['f32', 'bf16', 'q8_0']) {
          const file = join(dir, `${dtype}.gguf`);
          await run(join(SCRIPTS, 'write_gguf.py'), model, file, dtype);
          const told = JSON.parse(await run('-c', READ, file)) as {
            architecture: string;
            types: Record<string, number>;
          };
          expect(told.architecture).to.equal(architecture);
          expect(told.types.F32, dtype).to.be.above(0);
          if (dtype !== 'f32') expect(told.types[dtype.toUpperCase()], dtype).to.be.above(0);
        }
      });
    });

    it(`${architecture}: llama.cpp’s logits are ours`, async function () {
      if (!hasLlama) return this.skip();
      await withTempFolder(async (dir) => {
        const file = join(dir, 'f32.gguf');
        await run(join(SCRIPTS, 'write_gguf.py'), model, file, 'f32');
        const code = `
import sys, json
sys.path.insert(0, sys.argv[1])
import llama_cpp_peer
print(json.dumps(llama_cpp_peer.Peer(sys.argv[2], 1, 1, 64).logits(json.loads(sys.argv[3]))))`;
        const { logits } = JSON.parse(await run('-c', code, SCRIPTS, file, JSON.stringify(IDS))) as {
          logits: number[];
        };
        // Keys and values are float16 there.
        expect(relativeError(await ours(model), logits)).to.be.below(5e-3);
      });
    });
  }
});

async function ours(model: string): Promise<number[]> {
  const config = await loadConfig({
    base: { model, experts: { resident: 'f32' }, dense: { resident: 'f32' } },
  });
  const engine = await Engine.start({ config });
  try {
    let last: number[] = [];
    const onLogits = (rows: Float32Array): void =>
      void (last = Array.from(rows.subarray(rows.length - engine.spec.vocabSize)));
    await engine.score({ tokenIds: IDS, onLogits });
    return last;
  } finally {
    await engine.close();
  }
}
