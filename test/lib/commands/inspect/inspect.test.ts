import { expect } from 'chai';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../../../lib/commands/parser.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { WeightError } from '../../../../lib/weights/errors.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { GPT_OSS_20B, MIXTRAL, QWEN3, V3, type Config } from '../../../kit/model/published_configs.js';
import { moe7m, repoRoot, tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

async function inspect(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(['inspect', ...args], context);
  return context.printed();
}

interface RankJson {
  readonly ranks: number;
  readonly total: number | null;
  readonly dense: number;
  readonly experts: number;
  readonly fits_here: boolean;
}

/** What is asked of the JSON here. */
interface Printed {
  readonly supported: boolean;
  readonly weights_whole: boolean;
  readonly problems: readonly { readonly part: string; readonly code: string }[];
  readonly skipped: readonly string[];
  readonly unknown_tensors: readonly string[];
  readonly mechanisms: readonly string[];
  readonly weights: { readonly files: number; readonly bytes: number; readonly dtypes: object } | null;
  readonly tokenizer: { readonly vocab_size: number; readonly ends: object; readonly chat: string } | null;
  readonly model: {
    readonly parameters: { readonly total: number; readonly active: number };
    readonly kv_dtype: string;
    readonly kv_bytes_per_token: number;
    readonly state_bytes: number;
    readonly dtypes: Readonly<Record<string, readonly string[]>>;
    readonly rank_bytes: readonly {
      readonly name: string;
      readonly experts: string;
      readonly bytes_by_type: { readonly experts: object; readonly dense: object };
      readonly ranks: readonly RankJson[];
    }[];
  } | null;
}

const inspected = async (...args: readonly string[]): Promise<Printed> =>
  JSON.parse(await inspect(...args, '--json')) as Printed;

async function ofConfig(config: Config, ...args: readonly string[]): Promise<Printed> {
  let printed: Printed | undefined;
  await withTempFolder(async (dir) => {
    await writeFile(join(dir, 'config.json'), JSON.stringify(config));
    printed = await inspected(dir, ...args);
  });
  return printed!;
}

/** Bytes of experts by number of ranks, in a form of weights. */
const expertsOf = (printed: Printed, form: string): readonly (number | undefined)[] =>
  printed.model!.rank_bytes.find(({ name }) => name === form)!.ranks.map(({ experts }) => experts);

describe('expertwire inspect', () => {
  /** float32 values of a token in the caches of all layers, by hand, 4 bytes each; bytes of an expert's value as it is kept: numbers, or codes with a float32 scale for 32. */
  const PUBLISHED: Readonly<
    Record<
      string,
      { config: Config; kv: number; dtype: string; layers: number; experts: number; values: number; bytes: number }
    >
  > = {
    'DeepSeek-V3': {
      config: { ...V3, quantization_config: { quant_method: 'fp8', fmt: 'e4m3', weight_block_size: [128, 128] } },
      ...{ kv: 4 * 61 * (512 + 64), dtype: 'fp8', layers: 58, experts: 256, values: 3 * 7168 * 2048, bytes: 1.125 },
    },
    'Qwen3-30B-A3B': {
      config: { ...QWEN3, torch_dtype: 'bfloat16' },
      ...{ kv: 4 * 48 * 2 * 4 * 128, dtype: 'bf16', layers: 48, experts: 128, values: 3 * 2048 * 768, bytes: 2 },
    },
    'Mixtral-8x7B': {
      config: MIXTRAL,
      ...{ kv: 4 * 32 * 2 * 8 * 128, dtype: 'bf16', layers: 32, experts: 8, values: 3 * 4096 * 14336, bytes: 2 },
    },
  };

  for (const [name, { config, kv, dtype, layers, experts, values, bytes }] of Object.entries(PUBLISHED)) {
    it(`tells the bytes of ${name} from config.json alone, as by hand`, async () => {
      const printed = await ofConfig(config, '--ranks', '1,2,8');
      expect(printed).to.include({ supported: true, weights_whole: false, weights: null, tokenizer: null });
      expect(printed.problems).to.deep.equal([]);
      expect(printed.model!.kv_bytes_per_token).to.equal(kv);
      expect(printed.model!.dtypes.routed_experts).to.deep.equal([dtype]);
      const perRank = [1, 2, 8].map((ranks) => (layers * experts * values) / ranks);
      expect(expertsOf(printed, 'as stored')).to.deep.equal(perRank.map((count) => count * bytes));
      expect(expertsOf(printed, 'int8')).to.deep.equal(perRank.map((count) => count * 1.125));
      expect(expertsOf(printed, 'f32')).to.deep.equal(perRank.map((count) => count * 4));
      expect(expertsOf(printed, 'tensors')).to.deep.equal(perRank.map((count) => count * 4));
    });
  }

  it('tells gpt-oss-20b, with biases and padded rows, from config.json alone', async () => {
    const printed = await ofConfig(GPT_OSS_20B, '--ranks', '1,4');
    // 2880 is whole groups of 32 and whole panels of 16; half a byte a value, and a float32 scale for 32 of them.
    const expert = 3 * 2880 * 2880 * 0.625 + 4 * 3 * 2880;
    expect(expertsOf(printed, 'as stored')).to.deep.equal([24 * 32 * expert, 24 * 8 * expert]);
    expect(printed.model!.kv_bytes_per_token).to.equal(4 * 24 * 2 * 8 * 64);
    expect(printed.model!.dtypes).to.deep.include({ routed_experts: ['fp4'], attention: ['bf16'], gates: ['bf16'] });
  });

  it('tells a whole folder: files, tokenizer, ends, chat template, and that it fits', async () => {
    const printed = await inspected(moe7m());
    expect(printed).to.include({ supported: true, weights_whole: true });
    expect(printed.problems).to.deep.equal([]);
    expect(printed.weights!.files).to.equal(1);
    const numBiases = 3 * 32; // of the gates, float32
    expect(printed.weights!.bytes).to.equal(2 * printed.model!.parameters.total + 2 * numBiases);
    expect(printed.tokenizer).to.deep.include({
      vocab_size: 2048,
      ends: { 1: '<|end|>' },
      chat: 'works',
      chat_templates: ['default'],
    });
    for (const { ranks } of printed.model!.rank_bytes) {
      for (const { fits_here: isFitting, total } of ranks) expect(isFitting && total! > 50e6).to.equal(true);
    }
    const text = await inspect(moe7m());
    for (const word of [
      'runs here',
      '7.031 M',
      'latent: 6 heads',
      'BF16',
      '<|end|> (1)',
      'bytes of each rank',
      '8 ranks',
    ])
      expect(text).to.contain(word);
  });

  it('takes the path of a config.json too, and limits of the configuration', async () => {
    const few = await inspected(join(moe7m(), 'config.json'), '--ranks', '1', '--set', 'engine.num_kv_blocks=1');
    const many = await inspected(moe7m(), '--ranks', '1', '--set', 'engine.num_kv_blocks=101');
    const [a, b] = [few, many].map(({ model }) => model!.rank_bytes[0]!.ranks[0]!.total!);
    expect(b! - a!).to.be.within(100 * 16 * few.model!.kv_bytes_per_token, 110 * 16 * few.model!.kv_bytes_per_token);
  });

  it('tells what a token takes of the KV cache in the type that it is kept as', async () => {
    const as = (dtype: string) =>
      inspected(moe7m(), '--set', 'engine.num_kv_blocks=100', '--set', `engine.kv_dtype=${dtype}`);
    const [f32, int8] = [await as('f32'), await as('int8')];
    expect([f32.model!.kv_dtype, int8.model!.kv_dtype]).to.deep.equal(['f32', 'int8']);
    expect(int8.model!.kv_bytes_per_token / f32.model!.kv_bytes_per_token).to.be.at.most(0.27);
    const bytesOf = ({ model }: Printed): number => model!.rank_bytes[0]!.ranks[0]!.total!;
    expect(bytesOf(int8)).to.be.below(bytesOf(f32));
  });

  it('counts a tier in memory, with which fewer ranks fit, or none', async () => {
    const withRam = (ram: string) => inspected(moe7m(), '--ranks', '1', '--set', `engine.kv_tiers=[{ram: ${ram}}]`);
    const [none, some, all] = [
      await inspected(moe7m(), '--ranks', '1'),
      await withRam('1MiB'),
      await withRam('900TiB'),
    ];
    const rankOf = ({ model }: Printed): RankJson => model!.rank_bytes[0]!.ranks[0]!;
    expect(rankOf(some).total! - rankOf(none).total!).to.equal(2 ** 20);
    expect([none, some, all].map((each) => rankOf(each).fits_here)).to.deep.equal([true, true, false]);
    expect(await inspect(moe7m(), '--set', 'engine.kv_tiers=[{ram: 1MiB}]')).to.contain(' and a ram tier of 1');
  });

  it('tells what the configuration keeps tensors as, in bytes of each type, and refuses names that none has', async () => {
    const globs = (text: string): string => `resident_overrides=${text}`;
    const some = globs('{"layers.*.experts.*":"int8","layers.1.mlp.experts.3.*":"f32"}');
    const [own, stored] = (await inspected(moe7m(), '--set', some)).model!.rank_bytes;
    expect([own!.name, stored!.name]).to.deep.equal(['as configured', 'as stored']);
    expect(own!.bytes_by_type.experts).to.deep.equal({ int8: 95 * 3 * 96 * 192 * 1.125, f32: 3 * 96 * 192 * 4 });
    expect(own!.ranks[0]!.total).to.be.below(stored!.ranks[0]!.total!);
    const text = await inspect(moe7m(), '--set', some);
    expect(text).to.match(/^as configured \(experts int8 and f32\)/m);
    expect(text).to.match(/^as configured, all weights once: experts int8 5.6 MiB, f32 216.0 KiB; others bf16/m);
    const wrong = await errorOf(ConfigError, () => inspect(moe7m(), '--set', globs('{"layer.*":"int8"}')));
    expect(wrong.message).to.contain('did you mean "layers.*"?');
  });

  it('a model that is not supported: why, what it has that nothing here does, and what its files are', async () => {
    await withTempFolder(async (dir) => {
      await cp(tinyModel('tiny-mixtral'), dir, { recursive: true });
      const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as Config;
      const other = { ...config, model_type: 'jamba', mamba_d_state: 16 };
      await writeFile(join(dir, 'config.json'), JSON.stringify(other));
      const printed = await inspected(dir);
      expect(printed).to.deep.include({
        supported: false,
        model: null,
        mechanisms: ['mamba_d_state (state-space layers)'],
      });
      expect(printed.problems.map(({ part, code }) => [part, code])).to.deep.equal([['model', 'UNSUPPORTED_MODEL']]);
      expect(printed.weights!.dtypes).to.have.property('BF16');
      const text = await inspect(dir);
      expect(text).to.contain('jamba').and.contain('does not run here').and.contain('state-space layers');
    });
  });

  it('a model that a plug-in brings is told like others', async () => {
    const plugin = join(repoRoot(), 'examples/plugins/renamed_family.mjs');
    const printed = await ofConfig({ ...QWEN3, model_type: 'my_moe' }, '--plugin', plugin);
    expect(printed.supported).to.equal(true);
    const { total, active } = printed.model!.parameters;
    expect(total).to.equal(30_532_122_624);
    expect(active).to.equal(3_353_032_704 - 48 * 4 * 3 * 2048 * 768); // 4 experts per token instead of 8
  });

  it('files that are missing, or say otherwise than config.json, are told with what they would take', async () => {
    await withTempFolder(async (dir) => {
      await cp(tinyModel('tiny-mixtral'), dir, { recursive: true });
      const file = join(dir, 'config.json');
      const config = JSON.parse(await readFile(file, 'utf8')) as Config;
      await writeFile(file, JSON.stringify({ ...config, vocab_size: 97 }));
      const wrong = await inspected(dir);
      expect(wrong).to.include({ supported: true, weights_whole: false });
      expect(wrong.problems.map(({ part, code }) => [part, code])).to.deep.equal([['weights', 'SHAPE_MISMATCH']]);
      expect(wrong.model!.rank_bytes).to.have.length(6);

      await rm(join(dir, 'model.safetensors'), { force: true });
      const index = { weight_map: { 'model.norm.weight': 'model-00001-of-00001.safetensors' } };
      await writeFile(join(dir, 'model.safetensors.index.json'), JSON.stringify(index));
      const missing = await inspected(dir);
      expect(missing.problems.map(({ code }) => code)).to.deep.equal(['MISSING_SHARD']);
      expect(await inspect(dir)).to.contain('would run here, with whole weights');
    });
  });

  it('a tokenizer and a chat template that fail are told, and the rest stands', async () => {
    await withTempFolder(async (dir) => {
      await cp(moe7m(), dir, { recursive: true });
      await writeFile(join(dir, 'chat_template.jinja'), '{% for %}');
      const printed = await inspected(dir);
      expect(printed.tokenizer!.chat).to.equal('fails');
      expect(printed.problems.map(({ part }) => part)).to.deep.equal(['tokenizer']);
      await writeFile(join(dir, 'tokenizer.json'), '{}');
      const worse = await inspected(dir);
      expect(worse).to.include({ supported: true, tokenizer: null });
      expect(worse.problems.map(({ code }) => code)).to.deep.equal(['INVALID_TOKENIZER']);
    });
  });

  it('several chat templates are told by their names', async () => {
    await withTempFolder(async (dir) => {
      await cp(moe7m(), dir, { recursive: true });
      const file = join(dir, 'tokenizer_config.json');
      const config = JSON.parse(await readFile(file, 'utf8')) as Config;
      const templates = ['default', 'tool_use'].map((name) => ({ name, template: '{{ messages[0].content }}' }));
      await writeFile(file, JSON.stringify({ ...config, chat_template: templates }));
      expect((await inspected(dir)).tokenizer).to.deep.include({
        chat: 'works',
        chat_templates: ['default', 'tool_use'],
      });
      expect(await inspect(dir)).to.contain('chat templates default, tool_use');
    });
  });

  it('what no folder is, and numbers that no ranks have, are mistakes', async () => {
    await withTempFolder(async (dir) => {
      const none = await errorOf(WeightError, () => inspect(dir));
      expect(none.code).to.equal('MODEL_NOT_FOUND');
      expect((await errorOf(ConfigError, () => inspect(join(dir, 'no')))).code).to.equal('NOT_FOUND');
      expect((await errorOf(ConfigError, () => inspect())).code).to.equal('MISSING_KEY');
    });
    for (const ranks of ['0', 'x', '1,,2', '1e9']) {
      expect((await errorOf(UsageError, () => inspect(moe7m(), '--ranks', ranks))).message).to.contain('--ranks');
    }
  });
});
