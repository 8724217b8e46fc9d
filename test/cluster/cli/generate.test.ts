/** The command line as a user meets it: results of generate come on standard output and nowhere else. */
import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { moe7mCases, tinyGolden } from '../../kit/model/goldens.js';
import { copyModel, keepExperts } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes, until } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { traceComplaints, type FileEvent } from '../../kit/trace_rules.js';
import { commandLine, expectSuccess, json, ids } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const DEEPSEEK = tinyModel('tiny-deepseek-v3');
const QWEN = tinyModel('tiny-qwen3-moe');
const [MELVILLE, ...OTHERS] = moe7mCases();

describe('expertwire generate', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const golden = tinyGolden('tiny-deepseek-v3');
  const text = ['generate', '--model', moe7m(), '--prompt', MELVILLE!.prompt];

  it('prints the text alone when piped', async () => {
    const stdout = expectSuccess(await expertwire([...text, '--ranks', '2', '--max-new-tokens', '32', '--ignore-eos']));
    expect(stdout).to.equal(`${MELVILLE!.text}\n`);
  });

  it('--prompts - continues the lines of standard input', async () => {
    const args = ['generate', '--model', moe7m(), '--prompts', '-', '--max-new-tokens', '8', '--ignore-eos'];
    const run = processes.cli(args, { hasInput: true });
    run.types(`${MELVILLE!.prompt}\n`);
    run.endInput();
    const stdout = expectSuccess(await run.ended);
    expect(MELVILLE!.text.startsWith(stdout.trimEnd())).to.equal(true);
  });

  it('--messages - takes a conversation from standard input', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--messages', '-', '--max-new-tokens', '8', '--json'], {
      hasInput: true,
    });
    run.types('[{"role":"user","content":"Hi"}]');
    run.endInput();
    const [answer] = expectSuccess(await run.ended).split('\n');
    expect(json(answer!).finish_reason).to.equal('length');
  });

  it('Ctrl-C ends the wait for prompts from standard input', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--prompts', '-'], { hasInput: true });
    await until(
      () => processes.running().length > 1,
      () => 'no rank was started',
    );
    run.signalGroup('SIGINT');
    expect(await run.ended).to.include({ code: 130, stdout: '', stderr: '' });
  });

  it('prints token ids where the model has no tokenizer', async () => {
    const args = ['--prompt-ids', ids(golden.prompt_token_ids), '--max-new-tokens', '6', '--ignore-eos'];
    const stdout = expectSuccess(await expertwire(['generate', '--model', DEEPSEEK, ...args]));
    expect(stdout).to.equal(`${golden.greedy_token_ids.slice(0, 6).join(' ')}\n`);
  });

  it('--json prints one object a prompt and the statistics, with the documented fields', async () => {
    const args = ['--prompt-ids', ids(golden.prompt_token_ids), '--prompt-ids', '5,17,3', '--max-new-tokens', '24'];
    const run = expertwire([
      'generate',
      '--model',
      DEEPSEEK,
      '--ranks',
      '2',
      ...args,
      '--ignore-eos',
      '--json',
      '--return-routed-experts',
    ]);
    const lines = expectSuccess(await run)
      .trimEnd()
      .split('\n')
      .map(json);
    expect(lines).to.have.length(3);
    const [first, second, { stats }] = lines as [
      Record<string, unknown>,
      Record<string, unknown>,
      { stats: Record<string, unknown> },
    ];
    for (const line of [first, second]) {
      expect(line).to.have.all.keys(
        ...['prompt', 'prompt_token_ids', 'text', 'token_ids', 'finish_reason', 'seed', 'routed_experts'],
      );
    }
    expect(first.prompt_token_ids).to.deep.equal(golden.prompt_token_ids);
    expect(first.token_ids).to.deep.equal(golden.greedy_token_ids);
    expect(first).to.include({ prompt: null, text: '', finish_reason: 'length' });
    const routed = first.routed_experts as number[][][];
    expect([routed.length, routed[0]!.length, routed[0]![0]!.length]).to.deep.equal([24 + 24 - 1, 2, 4]);
    expect(stats).to.include({
      ranks: 2,
      backend: 'wasm',
      compute: 'kernels',
      prompt_tokens: 27,
      output_tokens: 48,
      steps: 24,
    });
    expect(stats).to.deep.include({ rank_backends: ['wasm', 'wasm'], rank_computes: ['kernels', 'kernels'] });
    for (const key of ['tokens_per_s', 'time_to_first_token_ms', 'elapsed_ms']) expect(stats[key]).to.be.above(0);
    for (const key of ['bytes_dispatched', 'bytes_combined']) {
      const [[own, sent], [back, other]] = stats[key] as [[number, number], [number, number]];
      expect([own, other]).to.deep.equal([0, 0]);
      expect(Math.min(sent, back)).to.be.above(0);
    }
    expect(stats.balancedness).to.have.length(2);
  });

  it('--json tells log-probabilities on request, and penalties and min_tokens do what they say', async () => {
    const run = async (...args: string[]): Promise<Record<string, unknown>> => {
      const fixed = ['generate', '--model', DEEPSEEK, '--prompt-ids', '5,17,3', '--max-new-tokens', '12', '--json'];
      return json(expectSuccess(await expertwire([...fixed, ...args])).split('\n')[0]!);
    };
    const { logprobs, token_ids: tokenIds } = await run('--logprobs', '2', '--ignore-eos');
    const told = logprobs as { logprob: number; rank: number; top: { token_id: number; logprob: number }[] }[];
    expect(told.map(({ top }) => top[0]!.token_id)).to.deep.equal(tokenIds);
    for (const { logprob, rank, top } of told)
      expect([rank, top[0]!.logprob, top.length]).to.deep.equal([1, logprob, 2]);
    const twice = [
      '--presence-penalty',
      '2',
      '--frequency-penalty',
      '2',
      '--repetition-penalty',
      '1000',
      '--min-tokens',
      '12',
    ];
    const { token_ids: varied } = await run(...twice);
    expect(new Set(varied as number[])).to.have.property('size', 12);
    const { code, stderr } = await expertwire([
      'generate',
      '--model',
      DEEPSEEK,
      '--prompt-ids',
      '5',
      '--min-tokens',
      '65',
    ]);
    expect([code, stderr]).to.deep.equal([
      2,
      'expertwire: INVALID_REQUEST: min_tokens is 65, and max_new_tokens 64; lower the first or raise the second\n',
    ]);
  });

  it('routed experts are there only on request', async () => {
    const args = ['--prompt-ids', '5,17,3', '--max-new-tokens', '2', '--json'];
    const [line] = expectSuccess(await expertwire(['generate', '--model', DEEPSEEK, ...args])).split('\n');
    expect(json(line!)).to.have.all.keys('prompt', 'prompt_token_ids', 'text', 'token_ids', 'finish_reason', 'seed');
  });

  it('more ranks than experts work, and give the same tokens', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(QWEN, dir);
      await keepExperts(dir, 4);
      const args = [
        'generate',
        '--model',
        dir,
        '--prompt-ids',
        '5,17,3',
        '--max-new-tokens',
        '8',
        '--ignore-eos',
        '--json',
      ];
      const tokens = async (ranks: string): Promise<unknown> => {
        const [line] = expectSuccess(await expertwire([...args, '--ranks', ranks])).split('\n');
        return json(line!).token_ids;
      };
      const expected = await tokens('1');
      for (const ranks of ['5', '8']) expect(await tokens(ranks), `${ranks} ranks`).to.deep.equal(expected);
    });
  });

  it('several prompts of a file are printed one after the other under headings', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'prompts.txt');
      const goldens = [MELVILLE!, ...OTHERS].filter(({ prompt }) => !prompt.includes('\n')).slice(0, 2);
      await writeFile(file, goldens.map(({ prompt }) => `${prompt}\n`).join(''));
      const args = ['--prompts', file, '--max-new-tokens', '32', '--ignore-eos'];
      const stdout = expectSuccess(await expertwire(['generate', '--model', moe7m(), ...args]));
      const sections = goldens.map((golden, i) => `── prompt ${i + 1} ──\n${golden.prompt}${golden.text}\n`);
      expect(stdout).to.equal(sections.join('\n'));
    });
  });

  it('lists may be given piece by piece; of other options the last one counts', async () => {
    const prompts = ['--prompt', 'Call me', '--prompt', 'And the', '--max-new-tokens', '9', '--max-new-tokens', '2'];
    const keys = ['--set', 'parallel.ranks=2', '--set', 'engine.block_size=4', '--json'];
    const stdout = expectSuccess(await expertwire(['generate', '--model', moe7m(), ...prompts, ...keys]));
    const lines = stdout.trimEnd().split('\n').map(json);
    expect(lines.slice(0, 2).map((line) => line.prompt)).to.deep.equal(['Call me', 'And the']);
    expect(lines[2]!.stats).to.include({ ranks: 2, output_tokens: 4 });
  });

  it('a stop string ends the text before it', async () => {
    const stop = 'the world';
    const run = expertwire([...text, '--max-new-tokens', '32', '--stop', stop, '--json']);
    const [line] = expectSuccess(await run).split('\n');
    expect(json(line!)).to.include({
      text: MELVILLE!.text.slice(0, MELVILLE!.text.indexOf(stop)),
      finish_reason: 'stop',
    });
  });

  it('--chat puts the prompt into the chat template', async () => {
    const args = ['--chat', '--prompt', 'Call me', '--max-new-tokens', '4', '--json'];
    const [line] = expectSuccess(await expertwire(['generate', '--model', moe7m(), ...args])).split('\n');
    const tokenizer = await loadTokenizer(moe7m());
    // The template of this model: the message and a line break.
    expect(json(line!).prompt_token_ids).to.deep.equal(tokenizer!.encode('Call me\n', { addSpecialTokens: false }));
  });

  it('--summary shows speed, bytes per pair of ranks and expert load on standard error', async () => {
    const { code, stdout, stderr } = await expertwire([...text, '--ranks', '2', '--max-new-tokens', '8', '--summary']);
    expect(code).to.equal(0);
    expect(MELVILLE!.text.startsWith(stdout.trimEnd()), stdout).to.equal(true);
    expect(stderr).to.match(
      /2 ranks on wasm kernels \((?:128|256) bits(?:, fused)?\) · bf16 experts · 15 prompt tokens · 8 new ones in [\d.]+ s = \d+ tokens\/s · first token after \d+ ms/,
    );
    for (const verb of ['dispatched', 'combined'])
      expect(stderr).to.match(new RegExp(`${verb} from \\\\ to +rank 0 +rank 1`));
    expect(stderr).to.match(/rank 0 +· +[\d.]+ (Ki)?B/);
    expect(stderr).to.match(/waited for \\ by +rank 0 +rank 1\nrank 0 +· +\d+ ms\nrank 1 +\d+ ms +·/);
    expect(stderr).to.match(/MoE layer 2: balancedness [\d.]+\n +rank 0 .*\n +rank 1 /);
  });
});

describe('expertwire generate --trace', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('writes what every rank computed and sent, of each layer and micro-batch', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'trace.json');
      const options = ['--ranks', '2', '--set', 'comm.micro_batches=2', '--trace', path, '--json'];
      const { code, stdout, stderr } = await expertwire([
        ...['generate', '--model', moe7m(), '--prompt', MELVILLE!.prompt, '--max-new-tokens', '3', ...options],
      ]);
      const [{ text }, { stats }] = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown) as [
        { text: string },
        { stats: { bytes_dispatched: number[][]; bytes_combined: number[][]; rank_load: number[][] } },
      ];
      expect([code, MELVILLE!.text.startsWith(text)]).to.deep.equal([0, true]);
      expect(stderr).to.match(/^trace: .*trace\.json; ranks computed during \d+ % of the time/m);
      const events = JSON.parse(await readFile(path, 'utf8')) as FileEvent[];
      for (const name of ['dispatch flight', 'combine flight', 'experts']) {
        const places = events
          .filter((event) => event.name === name && event.args.microBatch !== undefined)
          .map(({ pid, args: { step, layer, microBatch } }) => [pid, step, layer, microBatch].join());
        // 2 ranks × 3 steps × 3 MoE layers × 2 micro-batches, each once.
        expect([new Set(places).size, places.length], name).to.deep.equal([36, 36]);
      }
      expect(traceComplaints(events)).to.deep.equal([]);
      const arrows = events.filter(({ ph }) => ph === 's');
      expect(arrows.length, 'rows between two ranks, in most layers and steps').to.be.above(12);
      const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
      const figures = (name: string, of: string): number[] =>
        events.filter((event) => event.ph === 'C' && event.name === name).map(({ args }) => args[of] as number);
      expect(sum(figures('bytes sent in a step', 'dispatch'))).to.equal(sum(stats.bytes_dispatched.flat()));
      expect(sum(figures('bytes sent in a step', 'combine'))).to.equal(sum(stats.bytes_combined.flat()));
      expect(sum(figures('choices computed in a step', 'choices'))).to.equal(sum(stats.rank_load.flat()));
    });
  });
});
