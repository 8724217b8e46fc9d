/** `bench peers` where no peer is installed, and with a program that plays one. */
import { expect } from 'chai';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runBench } from '../../../bench/index.js';
import type { GenerationFigures } from '../../../bench/peers/generation.js';
import type { StartRow } from '../../../bench/peers/start_section.js';
import type { TokenRow } from '../../../bench/peers/token_section.js';
import { BenchError } from '../../../bench/base/errors.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const TRIAL = [
  '--cores',
  '1',
  '--batches',
  '1,2',
  '--prompt-tokens',
  '16',
  '--context',
  '16',
  '--steps',
  '4',
  '--rounds',
  '2',
];

/** A Python that has llama.cpp, as far as the benchmark can tell: `answers` is what it does with an order, in JavaScript. */
async function playedPython(dir: string, answers: string): Promise<string> {
  const file = join(dir, 'python');
  const source = `#!${process.execPath}
const [, , script, ...args] = process.argv;
if (script === '-c') console.log('llama_cpp gguf');
else if (script.endsWith('write_gguf.py')) require('fs').writeFileSync(args[1], args[2]);
else {
  console.log(JSON.stringify({ ready: { version: 'played', built_with: args.slice(1).join(' ') } }));
  require('readline').createInterface(process.stdin).on('line', (line) => {
    const order = JSON.parse(line);
    ${answers}
  });
}
`;
  await writeFile(file, source);
  await chmod(file, 0o755);
  return file;
}

/** Ten milliseconds for a prompt, one for a step; tokens and logits that are none of the model's. */
const ANSWERS = `
const ms = order.op === 'prefill' ? 10 : order.tokens;
const tokens = (order.prompts ?? [0]).map(() => new Array(1 + (order.tokens ?? 0)).fill(-1));
console.log(JSON.stringify(order.op === 'logits' ? { logits: [1, 0, 0] } : { ms, tokens }));`;

interface Printed {
  readonly load_average: readonly number[];
  readonly missing: readonly string[];
  readonly generation: GenerationFigures;
  readonly start?: readonly StartRow[];
  readonly tokens?: readonly TokenRow[];
}

async function figures(dir: string, ...args: readonly string[]): Promise<{ printed: string; file: Printed }> {
  const context = commandContext();
  const json = join(dir, 'figures.json');
  const options = ['--dir', dir, '--model', tinyModel('tiny-qwen3-moe'), ...TRIAL, '--json', json];
  await runBench(['peers', ...options, ...args], context);
  return { printed: context.printed(), file: JSON.parse(await readFile(json, 'utf8')) as Printed };
}

describe('expertwire bench peers', function () {
  this.timeout(120_000);

  it('measures ours alone where no peer is there, and says what installs each', async () => {
    await withTempFolder(async (dir) => {
      const args = ['--only', 'generation,machine', '--peers', 'llama.cpp,transformers,torch,gloo', '--dtypes', 'bf16'];
      const { printed, file } = await figures(dir, '--python', join(dir, 'none'), ...args);
      for (const peer of ['llama.cpp', 'transformers', 'torch', 'gloo']) expect(printed).to.include(`no ${peer}: `);
      expect(printed).to.match(/no llama\.cpp: \S+none lacks llama_cpp or gguf; sh \S+install\.sh \S+ llama\.cpp/);
      expect(file.missing).to.have.length(4);
      expect(file.load_average).to.have.length(2);
      expect(Object.keys(file.generation.versions)).to.deep.equal(['expertwire']);
      const rows = file.generation.rows.map(({ phase, batch }) => [phase, batch]);
      expect(rows).to.deep.equal([
        ['prefill', 1],
        ['decode', 1],
        ['decode', 2],
      ]);
      for (const { engines } of file.generation.rows) {
        const { tokens_per_s: speed, ratio } = engines.expertwire!;
        expect(speed.min).to.be.above(0).and.at.most(speed.median);
        expect(ratio).to.deep.equal({ median: 1, min: 1, max: 1, best: 1 });
      }
      expect(file.generation.rows[1]!.engines.expertwire!.bandwidth_share!.median).to.be.above(0);
      expect(file.generation.rows[2]!.engines.expertwire!.bandwidth_share).to.equal(null);
    });
  });

  it('takes turns with a peer, and shows that it is another model', async () => {
    await withTempFolder(async (dir) => {
      const python = await playedPython(dir, ANSWERS);
      const { printed, file } = await figures(
        dir,
        '--only',
        'generation',
        '--peers',
        'llama.cpp',
        '--dtypes',
        'int8',
        '--python',
        python,
      );
      const { rows, versions, agreements } = file.generation;
      // Threads, sequences and tokens that it is started for.
      expect(versions['llama.cpp']).to.match(/^played \(1 2 \d+\)$/);
      const speeds = rows.map(({ engines }) => engines['llama.cpp']!.tokens_per_s.median);
      expect(speeds.map(Math.round)).to.deep.equal([1600, 1000, 2000]);
      for (const { engines } of rows) {
        const [ours, theirs] = [engines.expertwire!.tokens_per_s, engines['llama.cpp']!];
        expect(theirs.ratio.best).to.be.closeTo(ours.max / theirs.tokens_per_s.max, 1e-9);
      }
      expect(agreements).to.have.length(1);
      expect(agreements[0]).to.include({ peer: 'llama.cpp', dtype: 'int8', tokens_alike: 0, tokens: 33 });
      expect(printed).to.include('0 of 33 tokens alike').and.include('int8 · 1 core · decode × 2');
    });
  });

  it('starts and loads in turns with a peer', async () => {
    await withTempFolder(async (dir) => {
      const answers = 'console.log(JSON.stringify({ loaded_ms: order.is_mapped ? 1 : 10, ready_ms: 20 }));';
      const python = await playedPython(dir, answers);
      const { printed, file } = await figures(dir, '--only', 'start', '--peers', 'llama.cpp', '--python', python);
      const of = (what: string): StartRow => file.start!.find((row) => row.what === what)!;
      expect(of('load, llama.cpp, read').ms).to.deep.equal({ median: 10, min: 10, max: 10 });
      expect(of('load, llama.cpp, mapped').ms.median).to.equal(1);
      const ours = of('load, ours').ms;
      expect(of('load, llama.cpp, read').ratio!.best).to.be.closeTo(10 / ours.min, 1e-9);
      expect(of('load and first step, ours').ms.min).to.be.above(ours.min);
      expect(of('generate, one token, moe-7m').ratio).to.include({ beside: 'node -e 0' });
      expect(printed).to.match(/\ngenerate, one token, moe-7m +\d+ \(/);
    });
  });

  it('exchanges tokens beside raw TCP, and says what others don’t do', async () => {
    await withTempFolder(async (dir) => {
      const args = ['--only', 'exchange', '--peers', 'gloo', '--python', join(dir, 'none'), '--messages', '64'];
      const { printed, file } = await figures(dir, ...args, '--tokens', '3', '--exchange-ranks', '2');
      const shown = file.tokens!.map(({ transport, phase, others }) => [transport, phase, ...Object.keys(others)]);
      expect(shown).to.deep.equal([
        ['ws', 'dispatch', 'raw Node TCP'],
        ['ws', 'combine', 'raw Node TCP'],
        ['threads', 'dispatch'],
        ['threads', 'combine'],
      ]);
      for (const { bytes, us } of file.tokens!) {
        expect(bytes).to.be.within(40, 40 + 3 * (4 * 1024 + 6 * 8)); // a header, and up to 3 rows
        expect(us.min).to.be.above(0);
      }
      expect(printed).to.include('unpack and sum nothing');
    });
  });

  it('a peer that dies is named with its last words', async () => {
    await withTempFolder(async (dir) => {
      const python = await playedPython(dir, "console.error('no room for ' + order.op); process.exit(7);");
      const run = figures(dir, '--only', 'generation', '--peers', 'llama.cpp', '--dtypes', 'f32', '--python', python);
      const { message } = await errorOf(BenchError, () => run);
      expect(message).to.equal('PROCESS_DIED: llama.cpp ended by exit code 7; it said: no room for logits');
    });
  });

  it('a peer that answers with something else is named with it, and ended', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'pid');
      const answers = `require('fs').writeFileSync('${file}', String(process.pid)); console.log('llama: loading');`;
      const python = await playedPython(dir, answers);
      const run = figures(dir, '--only', 'generation', '--peers', 'llama.cpp', '--dtypes', 'f32', '--python', python);
      const { message } = await errorOf(BenchError, () => run);
      expect(message).to.equal('NOT_UNDERSTOOD: llama.cpp said "llama: loading", which is no answer');
      const pid = Number(await readFile(file, 'utf8'));
      expect(() => process.kill(pid, 0)).to.throw(/ESRCH/);
    });
  });

  it('looks for llama-bench before it begins', async () => {
    await withTempFolder(async (dir) => {
      const tool = join(dir, 'llama-bench');
      const args = ['peers', '--dir', dir, '--peers', 'llama.cpp', '--llama-bench', tool];
      const refusal = async (): Promise<string> =>
        (await errorOf(UsageError, () => runBench(args, commandContext()))).message;
      expect(await refusal()).to.include(`--llama-bench: can't run ${tool} (spawn`);
      await writeFile(tool, '#!/bin/sh\nexit 1\n');
      await chmod(tool, 0o755);
      expect(await refusal()).to.include(`can't run ${join(dir, 'llama-batched-bench')} (spawn`);
    });
  });

  it('refuses what it does not know', async () => {
    for (const [args, words] of [
      [['--only', 'speed'], "--only: there is no 'speed'"],
      [['--peers', 'vllm'], "--peers: there is no 'vllm'"],
      [['--dtypes', 'int3'], "--dtypes: there is no 'int3'"],
      [['--rounds', '0'], '--rounds'],
      [['--cores', '1,4096'], `--cores: '4096' is not a whole number from 1 to ${availableParallelism()}`],
    ] as const) {
      const { message } = await errorOf(UsageError, () => runBench(['peers', ...args], commandContext()));
      expect(message).to.include(words);
    }
  });
});
