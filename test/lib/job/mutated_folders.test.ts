/** Model folders in which something is wrong: each runs, or is refused with a coded error that names the file or the field, in no time. */
import { expect } from 'chai';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExpertError } from '../../../compute/base/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { openModel } from '../../../lib/head/opened_model.js';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { promptPart, startLocalJob, startOf } from '../../kit/engine/local_job.js';
import { copyModel } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { readSafetensors, writeSafetensors } from '../../kit/model/safetensors_writer.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { randomFrom } from '../../refs/random.js';

type Random = () => number;

/** What stands in a JSON file where something else is expected. */
const ODD: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 0.5, 3, 1e9, 2 ** 53, 1e308, 5e-324, -1e308],
  ...['', 'x', '\u001b[2J', 'x'.repeat(10_000), [], {}, [[]], { a: null }, [1, 2, 3], new Array(2000).fill(0)],
];

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

/** Replaces, removes or adds a value somewhere in a JSON value, not too deep. */
function mutated(random: Random, value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return pick(random, ODD);
  const keys = Object.keys(value);
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>;
  const key = keys.length === 0 ? 'x' : pick(random, keys.slice(0, 60));
  const what = random();
  if (what < 0.15) {
    if (Array.isArray(copy)) copy.splice(Number(key), 1);
    else return Object.fromEntries(Object.entries(copy).filter(([each]) => each !== key));
  } else if (what < 0.25 && !Array.isArray(copy))
    copy[pick(random, ['x', 'rope_scaling', '__proto__', 'constructor'])] = pick(random, ODD);
  else copy[key] = what < 0.6 && depth < 5 ? mutated(random, copy[key], depth + 1) : pick(random, ODD);
  return copy;
}

/** Flips, cuts or repeats bytes. */
function spoiled(random: Random, bytes: Buffer): Buffer {
  const at = Math.floor(random() * Math.min(bytes.length, random() < 0.5 ? 64 : bytes.length));
  const what = random();
  if (what < 0.3) return bytes.subarray(0, at);
  if (what < 0.5) return Buffer.concat([bytes.subarray(0, at), bytes]);
  const copy = Buffer.from(bytes);
  for (let i = 0; i < 1 + random() * 3; i++) copy[Math.min(copy.length - 1, at + i)] = Math.floor(random() * 256);
  return copy;
}

const JSON_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'model.safetensors.index.json',
];

/** Changes one file; says what was changed and how to undo it. */
async function mutateFolder(random: Random, dir: string): Promise<{ what: string; undo: () => Promise<void> }> {
  const name = pick(random, [
    ...JSON_FILES,
    'config.json',
    'tokenizer.json',
    'model-00001-of-00002.safetensors',
    'chat_template.jinja',
  ]);
  const file = join(dir, name);
  const bytes = await readFile(file);
  const undo = (): Promise<void> => writeFile(file, bytes);
  if (!JSON_FILES.includes(name) || random() < 0.2) {
    await writeFile(file, spoiled(random, bytes));
    return { what: `${name}: bytes`, undo };
  }
  const json = mutated(random, JSON.parse(bytes.toString()));
  await writeFile(file, JSON.stringify(json));
  return { what: `${name}: values`, undo };
}

/** A tiny model with every file that a folder may have. */
async function writeWhole(dir: string, name: string): Promise<void> {
  await copyModel(tinyModel(name), dir);
  const tensors = readSafetensors(await readFile(join(dir, 'model.safetensors')));
  const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
  const weightMap: Record<string, string> = {};
  for (const [i, file] of files.entries()) {
    const own = tensors.filter((_, t) => t % 2 === i);
    await writeFile(join(dir, file), writeSafetensors(own, { format: 'pt' }));
    for (const tensor of own) weightMap[tensor.name] = file;
  }
  await rm(join(dir, 'model.safetensors'));
  const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as { vocab_size: number };
  await writeFile(join(dir, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));
  await writeFile(join(dir, 'generation_config.json'), JSON.stringify({ eos_token_id: [1], temperature: 0.6 }));
  await writeFile(join(dir, 'chat_template.jinja'), '{% for m in messages %}{{ m.content }}{% endfor %}');
  await cp(join(moe7m(), 'tokenizer_config.json'), join(dir, 'tokenizer_config.json'));
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(smallTokenizer(config.vocab_size)));
}

/** A byte-level tokenizer that fits a small vocabulary. */
function smallTokenizer(vocabSize: number): object {
  const letters = Array.from('abcdefghijklmnopqrstuvwxyzĠ').slice(0, vocabSize - 2);
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    added_tokens: [special(0, '<|begin|>'), special(1, '<|end|>')],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      vocab: Object.fromEntries(['<|begin|>', '<|end|>', ...letters].map((token, id) => [token, id])),
      merges: [],
    },
  };
}

/** Everything that head and ranks do with a folder. */
async function useFolder(dir: string): Promise<void> {
  const model = await openModel(await loadConfig({ base: { model: dir } }));
  const { tokenizer } = model;
  const ids = tokenizer?.encode('abc de') ?? [];
  tokenizer?.decode([...ids, 2, 1]);
  try {
    tokenizer?.encodeChat([{ role: 'user', content: 'hi' }]);
  } catch (error) {
    if (!(error instanceof TokenizerError)) throw error;
  }
  const job = await startLocalJob(dir, { numRanks: 1 });
  try {
    await job.step([[promptPart(0, [2, 1])]], [[startOf(0)]]);
  } finally {
    await job.close();
  }
}

const CODED = [ModelError, WeightError, TokenizerError, ExpertError, EngineError];

describe('a model folder with something wrong in it', function () {
  this.timeout(60_000);

  for (const [name, seed] of [
    ['tiny-qwen3-moe', 11],
    ['tiny-deepseek-v3', 12],
  ] as const) {
    it(`of 150 mutations of ${name}, each runs or is refused by a coded error that names what is wrong`, async () => {
      await withTempFolder(async (dir) => {
        await writeWhole(dir, name);
        await useFolder(dir);
        const random = randomFrom(seed);
        let numRefused = 0;
        for (let i = 0; i < 150; i++) {
          const { what, undo } = await mutateFolder(random, dir);
          const startMs = performance.now();
          try {
            await useFolder(dir);
          } catch (error) {
            numRefused++;
            const story = `mutation ${i}, ${what}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`;
            expect(
              CODED.some((kind) => error instanceof kind),
              story,
            ).to.equal(true);
            const { message } = error as Error;
            expect(message, story).to.match(/^[A-Z_]+: /);
            expect(message.length, story).to.be.below(2000);
            // eslint-disable-next-line no-control-regex -- a terminal would obey them
            expect(message, story).not.to.match(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
          }
          expect(performance.now() - startMs, `mutation ${i}, ${what}`).to.be.below(10_000);
          await undo();
        }
        expect(numRefused).to.be.above(60);
      });
    });
  }
});
