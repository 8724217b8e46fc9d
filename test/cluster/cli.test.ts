/** The command line as a user meets it: mistakes are told plainly, results come on standard output and nowhere else. */
import { expect } from 'chai';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer } from '../../lib/tokenizer/tokenizer.js';
import { moe7mCases, tinyGolden } from '../kit/goldens.js';
import { changeJson, changeTensors, copyModel, keepExperts } from '../kit/model_copy.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { closeServer, freePort, listenOn, portOf } from '../kit/ports.js';
import { lastLine, Processes, type Ended, type RunOptions, withoutNews } from '../kit/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const DEEPSEEK = tinyModel('tiny-deepseek-v3');
const QWEN = tinyModel('tiny-qwen3-moe');
const SECRET = { env: { EXPERTWIRE_JOB_SECRET: 'a secret of this test' } };
const [MELVILLE, ...OTHERS] = moe7mCases();

const processes = new Processes();
const expertwire = (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  processes.cli(args, options).ended;

/** Runs two command lines at a time. */
async function inPairs(commands: readonly (readonly string[])[]): Promise<Ended[]> {
  const ends: Ended[] = [];
  for (let i = 0; i < commands.length; i += 2) {
    ends.push(...(await Promise.all(commands.slice(i, i + 2).map((args) => expertwire(args)))));
  }
  return ends;
}

/** Exit code, and the decisive words of the last line; nothing on standard output. */
function expectFailure({ code, stdout, stderr }: Ended, expected: 1 | 2, ...words: readonly (string | RegExp)[]): void {
  const last = lastLine(stderr);
  expect(last).to.match(/^expertwire: /);
  for (const word of words) expect(last).to.match(typeof word === 'string' ? new RegExp(literal(word)) : word);
  expect(code, stderr).to.equal(expected);
  expect(stdout).to.equal('');
  expect(stderr, 'a stack trace').not.to.match(/\n\s+at /);
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Standard output alone. */
function expectSuccess({ code, stdout, stderr }: Ended): string {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  return stdout;
}

const json = (line: string): Record<string, unknown> => JSON.parse(line) as Record<string, unknown>;
const ids = (list: readonly number[]): string => list.join(',');

describe('a mistake in a command line', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const PROMPT = ['--model', moe7m(), '--prompt', 'Call me'];
  const LISTEN = ['--listen', '127.0.0.1:0'];
  const USAGE: readonly [string, readonly string[], ...(string | RegExp)[]][] = [
    ['no command', [], 'give a command'],
    ['an unknown command', ['generat'], 'did you mean generate?'],
    ['an unknown flag', ['generate', '--modle', 'x'], 'modle', 'did you mean --model?'],
    ['a missing model folder', ['generate', '--model', 'nowhere', '--prompt', 'x'], 'NOT_FOUND', 'nowhere'],
    ['no model', ['generate', '--prompt', 'x'], 'MISSING_KEY', '"model"'],
    ['a missing configuration', ['generate', '--config', 'no.yaml'], 'NOT_FOUND', 'no.yaml'],
    [
      'an unknown key',
      ['generate', ...PROMPT, '--set', 'comm.redcue=rank'],
      'UNKNOWN_KEY',
      'did you mean "comm.reduce"?',
    ],
    [
      'a value of a wrong type',
      ['generate', ...PROMPT, '--set', 'parallel.ranks=two'],
      'WRONG_TYPE',
      'parallel.ranks',
      '"two"',
    ],
    ['an impossible value', ['generate', ...PROMPT, '--placement', 'random'], 'INVALID_VALUE', 'linear, round_robin'],
    ['no prompt', ['generate', '--model', moe7m()], 'no prompt'],
    ['an empty prompt', ['generate', '--model', moe7m(), '--prompt', ''], 'prompt is empty'],
    ['a missing prompt file', ['generate', '--model', moe7m(), '--prompts', 'no.txt'], '--prompts no.txt'],
    [
      'a prompt that is too long',
      ['generate', ...PROMPT, '--max-new-tokens', '512'],
      'CONTEXT_LENGTH_EXCEEDED',
      /\b512 new/,
    ],
    [
      'text for a model without tokenizer',
      ['generate', '--model', QWEN, '--prompt', 'x'],
      'no tokenizer.json',
      '--prompt-ids',
    ],
    [
      'an id outside the vocabulary',
      ['generate', '--model', QWEN, '--prompt-ids', '1,96'],
      'INVALID_REQUEST',
      'token id 96',
      '95',
    ],
    ['what is not an id', ['generate', '--model', QWEN, '--prompt-ids', '1,x'], "'x' is not a token id"],
    [
      'ranks to wait for without an address',
      ['generate', ...PROMPT, '--wait-ranks', '1'],
      '--wait-ranks needs --listen',
    ],
    [
      'ranks to wait for without a secret',
      ['generate', ...PROMPT, '--wait-ranks', '1', ...LISTEN],
      'EXPERTWIRE_JOB_SECRET',
    ],
    ['a missing secret file', ['generate', ...PROMPT, '--secret-file', 'no.key'], '--secret-file no.key'],
    ['a malformed address', ['generate', ...PROMPT, '--listen', 'here'], "'here' is not HOST:PORT"],
    ['a checkpoint over another', ['make-checkpoint', QWEN], 'FOLDER_NOT_EMPTY', QWEN],
    ['a rank without a head', ['rank'], 'head'],
    ['a rank without a secret', ['rank', '--head', '127.0.0.1:1'], 'EXPERTWIRE_JOB_SECRET'],
    ['nothing to score', ['score', '--model', moe7m()], 'nothing to score'],
    ['what is no number', ['generate', ...PROMPT, '--max-new-tokens', 'abc'], '--max-new-tokens is not a number'],
    [
      'an option without its value',
      ['generate', '--model', QWEN, '--prompt'],
      'Not enough arguments following: prompt',
    ],
    ['a command without the dashes', ['launch', 'generate', '--prompt', 'x'], './launch.sh -- generate'],
    ['a single token to score', ['score', '--model', QWEN, '--ids', '3'], 'at least 2'],
    ['two texts to score', ['score', '--model', QWEN, '--ids', '3,4', '--text', 'x'], 'mutually exclusive'],
    [
      'a rank with an unknown backend',
      ['rank', '--head', '127.0.0.1:1', '--backend', 'gpu'],
      "--backend is 'gpu'",
      'wasm or cpu',
    ],
    [
      'kernels beside another backend',
      ['generate', ...PROMPT, '--backend', 'cpu', '--set', 'compute=kernels'],
      'INVALID_VALUE',
      'kernels',
    ],
    [
      'int8 without kernels',
      ['score', '--model', QWEN, '--ids', '3,4', '--set', 'compute=tensors', '--set', 'experts.resident=int8'],
      'INVALID_VALUE',
      'int8',
    ],
    ['an unknown benchmark', ['bench', 'genrate'], "no benchmark 'genrate'"],
  ];
  let ends: readonly Ended[];
  before(async () => (ends = await inPairs(USAGE.map(([, args]) => args))));

  USAGE.forEach(([what, , ...words], i) => {
    it(`${what}: exit code 2 and what to do`, () => {
      expectFailure(ends[i]!, 2, ...words);
      expect(ends[i]!.stderr.trimEnd().split('\n'), 'a single line: no rank was started').to.have.length(1);
    });
  });

  it('a mistake in a YAML file is told with file, line and what was probably meant', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'run.yaml');
      await writeFile(file, `model: ${moe7m()}\ncomm:\n  time_out_ms: 5\n`);
      expectFailure(
        await expertwire(['generate', '--config', file]),
        2,
        'UNKNOWN_KEY',
        'run.yaml:3',
        'comm.timeout_ms',
      );
    });
  });
});

describe('a model folder with a fault', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const withModel = (from: string, use: (dir: string) => Promise<void>): Promise<void> =>
    withTempFolder(async (dir) => {
      await copyModel(from, dir);
      await use(dir);
    });

  it('an unknown model_type: exit code 1 and what is supported', async () => {
    await withModel(QWEN, async (dir) => {
      await changeJson(join(dir, 'config.json'), { model_type: 'llama' });
      const ended = await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']);
      expectFailure(ended, 1, 'UNSUPPORTED_MODEL', 'llama', 'deepseek_v3', 'qwen3_moe');
    });
  });

  it('a folder without config.json: exit code 1', async () => {
    await withTempFolder(async (dir) => {
      expectFailure(
        await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']),
        1,
        'MODEL_NOT_FOUND',
        'config.json',
      );
    });
  });

  it('a tokenizer with more ids than the model: exit code 1, both numbers, and no rank was started', async () => {
    await withModel(QWEN, async (dir) => {
      await writeFile(join(dir, 'tokenizer.json'), await readFile(join(moe7m(), 'tokenizer.json')));
      const ended = await expertwire(['generate', '--model', dir, '--prompt', 'x']);
      expectFailure(ended, 1, 'VOCAB_MISMATCH', '2047', '96');
    });
  });

  it('a malformed tokenizer.json: exit code 1 and the file', async () => {
    await withModel(QWEN, async (dir) => {
      await writeFile(join(dir, 'tokenizer.json'), '{"model": {');
      const ended = await expertwire(['generate', '--model', dir, '--prompt', 'x']);
      expectFailure(ended, 1, 'INVALID_TOKENIZER', 'tokenizer.json', 'not valid JSON');
    });
  });

  it('truncated weights: exit code 1, the rank, the file and both sizes', async () => {
    await withModel(QWEN, async (dir) => {
      const file = join(dir, 'model.safetensors');
      const bytes = await readFile(file);
      await writeFile(file, bytes.subarray(0, -100));
      const ended = await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']);
      expectFailure(
        ended,
        1,
        /^expertwire: MALFORMED_SAFETENSORS: rank 0 on /,
        'model.safetensors',
        `${bytes.length - 100} bytes`,
      );
    });
  });
});

describe('a job that ranks of other machines join', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const headArgs = (port: number): string[] => [
    ...['generate', '--model', QWEN, '--prompt-ids', ids(tinyGolden('tiny-qwen3-moe').prompt_token_ids), '--json'],
    ...['--max-new-tokens', '24', '--ignore-eos', '--ranks', '1', '--listen', `127.0.0.1:${port}`, '--wait-ranks', '1'],
  ];
  const rankArgs = (port: number): string[] => ['rank', '--head', `127.0.0.1:${port}`];

  it('a port in use: exit code 1 and the address', async () => {
    const server = await listenOn(0);
    try {
      expectFailure(
        await expertwire(headArgs(portOf(server)), SECRET),
        1,
        'ADDRESS_IN_USE',
        `127.0.0.1:${portOf(server)}`,
      );
    } finally {
      await closeServer(server);
    }
  });

  it('a rank with a wrong secret is refused, and the head goes on waiting for a right one', async () => {
    const port = await freePort();
    const head = processes.cli(headArgs(port), SECRET);
    const wrong = await expertwire(rankArgs(port), { env: { EXPERTWIRE_JOB_SECRET: 'another' } });
    expectFailure(wrong, 1, 'AUTH_FAILED', 'secret');
    const right = await expertwire(rankArgs(port), SECRET);
    expectSuccess(right);
    const { code, stdout, stderr } = await head.ended;
    expect(stderr).to.match(
      /^waiting at 127\.0\.0\.1:\d+ for 1 rank of other machines\na rank was turned away: AUTH_FAILED: .*\n$/,
    );
    expect(code).to.equal(0);
    expect(json(stdout.split('\n')[0]!).token_ids).to.deep.equal(tinyGolden('tiny-qwen3-moe').greedy_token_ids);
  });

  it('a rank with another checkpoint ends the job on both sides: one byte of one dense tensor is enough', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(QWEN, dir);
      await changeTensors(dir, (tensor) => {
        if (tensor.name !== 'model.norm.weight') return tensor;
        const bytes = Uint8Array.from(tensor.bytes);
        bytes[0]! ^= 1;
        return { ...tensor, bytes };
      });
      const port = await freePort();
      const head = processes.cli(headArgs(port), SECRET);
      const rank = await expertwire([...rankArgs(port), '--model', dir], SECRET);
      expectFailure(rank, 1, 'FINGERPRINT_MISMATCH');
      expectFailure(await head.ended, 1, 'FINGERPRINT_MISMATCH', /rank 0.*rank 1|rank 1.*rank 0/);
    });
  });

  it('a rank whose model folder is missing is named by the head', async () => {
    const port = await freePort();
    const head = processes.cli(headArgs(port), SECRET);
    const rank = await expertwire([...rankArgs(port), '--rank', '1', '--model', '/no/model'], SECRET);
    expectFailure(rank, 1, 'MODEL_NOT_FOUND', '/no/model');
    expectFailure(await head.ended, 1, /^expertwire: MODEL_NOT_FOUND: rank 1 on /, '/no/model');
  });
});

describe('expertwire generate', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const golden = tinyGolden('tiny-deepseek-v3');
  const text = ['generate', '--model', moe7m(), '--prompt', MELVILLE!.prompt];

  it('prints the text alone when piped', async () => {
    const stdout = expectSuccess(await expertwire([...text, '--ranks', '2', '--max-new-tokens', '32', '--ignore-eos']));
    expect(stdout).to.equal(`${MELVILLE!.text}\n`);
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
      expect(await tokens('5')).to.deep.equal(await tokens('1'));
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
      /2 ranks on wasm kernels · bf16 experts · 15 prompt tokens · 8 new ones in [\d.]+ s = \d+ tokens\/s · first token after \d+ ms/,
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
      const options = ['--ranks', '2', '--set', 'comm.micro_batches=2', '--trace', path];
      const { code, stdout, stderr } = await expertwire([
        ...['generate', '--model', moe7m(), '--prompt', MELVILLE!.prompt, '--max-new-tokens', '3', ...options],
      ]);
      expect([code, MELVILLE!.text.startsWith(stdout.trimEnd())]).to.deep.equal([0, true]);
      expect(stderr).to.match(/^trace: .*trace\.json; ranks computed during \d+ % of the time/);
      const events = JSON.parse(await readFile(path, 'utf8')) as {
        name: string;
        pid: number;
        tid: number;
        args: { step?: number; layer?: number; microBatch?: number };
      }[];
      for (const name of ['dispatch flight', 'combine flight', 'experts']) {
        const places = events
          .filter((event) => event.name === name && event.args.microBatch !== undefined)
          .map(({ pid, args: { step, layer, microBatch } }) => [pid, step, layer, microBatch].join());
        // 2 ranks × 3 steps × 3 MoE layers × 2 micro-batches, each once.
        expect([new Set(places).size, places.length], name).to.deep.equal([36, 36]);
      }
    });
  });
});

describe('expertwire score', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const golden = tinyGolden('tiny-deepseek-v3');

  it('--logits writes the golden logits, and the log-probabilities and perplexity follow from them', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'f.npy');
      const args = ['score', '--model', DEEPSEEK, '--ids', ids(golden.prompt_token_ids), '--ranks', '2'];
      const run = expertwire([...args, '--logits', file, '--json']);
      const result = json(expectSuccess(await run));
      expect(result).to.have.all.keys('token_ids', 'logprobs', 'perplexity', 'routed_experts');
      const logits = readNpy(await readFile(file));
      expect(logits.map((row) => row.length)).to.deep.equal(golden.logits.map((row) => row.length));
      const worst = Math.max(
        ...golden.logits.flatMap((row, t) => row.map((value, v) => Math.abs(value - logits[t]![v]!))),
      );
      expect(worst).to.be.below(1e-4);
      const logprobs = golden.prompt_token_ids.slice(1).map((id, t) => {
        const row = logits[t]!;
        const highest = Math.max(...row);
        return row[id]! - highest - Math.log(row.reduce((sum, value) => sum + Math.exp(value - highest), 0));
      });
      const [none, ...printed] = result.logprobs as (number | null)[];
      expect(none).to.equal(null);
      printed.forEach((logprob, t) => expect(logprob).to.be.closeTo(logprobs[t]!, 1e-9));
      const mean = logprobs.reduce((a, b) => a + b, 0) / logprobs.length;
      expect(result.perplexity).to.be.closeTo(Math.exp(-mean), 1e-9);
    });
  });

  it('a failed job leaves no half-written .npy file', async () => {
    await withTempFolder(async (dir) => {
      const model = join(dir, 'model');
      await mkdir(model);
      await copyModel(QWEN, model);
      await writeFile(join(model, 'model.safetensors'), 'nothing');
      const file = join(dir, 'f.npy');
      expectFailure(
        await expertwire(['score', '--model', model, '--ids', '1,2', '--logits', file]),
        1,
        'MALFORMED_SAFETENSORS',
      );
      const error: unknown = await readFile(file).then(
        () => null,
        (cause: unknown) => cause,
      );
      expect(error).to.have.property('code', 'ENOENT');
    });
  });

  it('prints a line for each token of a text', async () => {
    const stdout = expectSuccess(await expertwire(['score', '--model', moe7m(), '--text', MELVILLE!.prompt]));
    const lines = stdout.trimEnd().split('\n');
    expect(lines).to.have.length(1 + 15 + 1);
    expect(lines[0]).to.equal('position\ttoken\ttext\tlogprob\texperts per MoE layer');
    expect(lines.slice(1, -1).map((line) => Number(line.split('\t')[1]))).to.deep.equal(MELVILLE!.prompt_token_ids);
    expect(lines.at(-1)).to.match(/^perplexity \d+\.\d{4} over 14 tokens$/);
  });
});

describe('expertwire doctor and --help', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('doctor --json tells backends and which one is taken', async () => {
    const report = json(expectSuccess(await expertwire(['doctor', '--json'])));
    expect(report).to.include({ node: process.version, expertwire: '0.1.0' });
    const backends = report.backends as { name: string; available: boolean; detail: string }[];
    expect(backends.map(({ name }) => name)).to.deep.equal(['tensorflow', 'webgpu', 'wasm', 'cpu']);
    expect(backends.find(({ name }) => name === 'wasm')!.available).to.equal(true);
    expect(backends.map(({ name }) => name)).to.include(report.auto);
    for (const { detail } of backends) expect(detail).not.to.equal('');
    const tensorflow = backends.find(({ name }) => name === 'tensorflow')!;
    expect(report.native).to.include({ unavailable: tensorflow.available ? null : tensorflow.detail });
    expect(report.cuda_devices).to.be.an('array');
  });

  const HELP: readonly [readonly string[], ...string[]][] = [
    [[], 'generate', 'score', 'rank', 'doctor', 'bench', 'launch'],
    [
      ['generate'],
      '--model',
      '--ranks',
      '--prompt',
      '--prompt-ids',
      '--temperature',
      '--json',
      '--summary',
      '--set',
      '--listen',
    ],
    [['score'], '--model', '--ids', '--text', '--file', '--logits', '--json'],
    [['rank'], '--head', '--rank', '--nproc', '--advertise', '--secret-file', '--join-timeout'],
    [['doctor'], '--json'],
    [['launch'], '--nnodes', '--node-rank', '--nproc-per-node', '--head', 'Slurm'],
    [['bench'], 'codec', 'generate'],
  ];
  let ends: readonly Ended[];
  before(async () => (ends = await inPairs(HELP.map(([command]) => [...command, '--help']))));

  HELP.forEach(([command, ...words], i) => {
    it(`expertwire ${[...command, '--help'].join(' ')} exits with 0 and tells what there is`, () => {
      const stdout = expectSuccess(ends[i]!);
      for (const word of words) expect(stdout).to.include(word);
    });
  });
});

/** Rows of a NumPy 1.0 file of little-endian float32, read by the format's own description. */
function readNpy(file: Buffer): number[][] {
  expect(file.toString('latin1', 0, 8)).to.equal('\x93NUMPY\x01\x00');
  const dataBegin = 10 + file.readUInt16LE(8);
  const header = file.toString('latin1', 10, dataBegin);
  expect(header).to.include("'descr': '<f4'").and.to.include("'fortran_order': False");
  const [, numRows, numColumns] = /'shape': \((\d+), (\d+)\)/.exec(header)!.map(Number) as [number, number, number];
  expect(file.length).to.equal(dataBegin + 4 * numRows * numColumns);
  return Array.from({ length: numRows }, (_, row) =>
    Array.from({ length: numColumns }, (_, column) => file.readFloatLE(dataBegin + 4 * (row * numColumns + column))),
  );
}
