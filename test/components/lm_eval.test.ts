/** lm-evaluation-harness scores over HTTP: what a researcher gets who evaluates a served model. */
import { expect } from 'chai';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { createServer, type HttpServer } from '../../lib/server/create_server.js';
import { pythonWith } from '../kit/processes/python.js';
import { moe7m } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const TASK = 'expertwire_tiny';
const DOCUMENTS = [
  { context: 'Call me Ishmael. Some years ago', continuation: ', and I am not a man' },
  { context: 'And the LORD spake unto Moses', continuation: ', saying, Speak unto the children of Israel' },
  { context: 'Once upon a time', continuation: ' there was a little girl' },
  { context: 'def main():\n', continuation: '    return 0' },
];

const processes = new Processes();

describe('lm-evaluation-harness', function () {
  this.timeout(300_000);
  let python: string;
  let engine: Engine;
  let server: HttpServer;
  let url: string;

  before(async function () {
    const found = await pythonWith('lm_eval', 'openai');
    if (found === null) return this.skip();
    python = found;
    const config = await loadConfig({ base: { model: moe7m(), parallel: { ranks: 2 }, server: { port: 0 } } });
    engine = await Engine.start({ config });
    server = await createServer(engine, { config });
    url = await server.listen();
  });

  after(async () => {
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- skipped
    await server?.close();
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- skipped
    await engine?.close();
  });

  it('gives the log-likelihoods that score gives, over local-completions and the server’s own tokenizer', async () => {
    await withTempFolder(async (dir) => {
      const told = await evaluate(dir);
      expect(told).to.have.length(DOCUMENTS.length);
      for (const [i, { context, continuation }] of DOCUMENTS.entries()) {
        expect(told[i], context).to.be.closeTo(await scored(context, continuation), 1e-4);
      }
    });
  });

  /** As the harness parts tokens: the continuation has what the whole text has beyond the context without the white space at its end. */
  async function scored(context: string, continuation: string): Promise<number> {
    const encode = (text: string): number[] => engine.tokenizer!.encode(text, { addSpecialTokens: false });
    const tokenIds = encode(context + continuation);
    const { logprobs } = await engine.score({ tokenIds });
    return logprobs.slice(encode(context.trimEnd()).length - 1).reduce((sum, logprob) => sum + logprob, 0);
  }

  async function evaluate(dir: string): Promise<number[]> {
    const data = join(dir, 'documents.jsonl');
    await writeFile(data, DOCUMENTS.map((document) => `${JSON.stringify(document)}\n`).join(''));
    await writeFile(join(dir, `${TASK}.yaml`), JSON.stringify(taskOf(data)));
    const model = `model=moe-7m,base_url=${url}/v1/completions,tokenizer_backend=remote,num_concurrent=4`;
    const args = ['-m', 'lm_eval', 'run', '--model', 'local-completions', '--model_args', model];
    const out = join(dir, 'out');
    await mkdir(out);
    const files = ['--include_path', dir, '--tasks', TASK, '--output_path', out, '--log_samples'];
    const env = { HOME: dir, HF_HOME: dir, HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1' };
    const { code, stderr } = await processes.start(python, [...args, ...files], { env }).ended;
    expect(code, stderr).to.equal(0);
    const names = await readdir(out, { recursive: true });
    const samples = await readFile(
      join(
        out,
        names.find((name) => name.includes('samples_'))!,
      ),
      'utf8',
    );
    const rows = samples
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Sample);
    return rows.sort((a, b) => a.doc_id - b.doc_id).map(({ filtered_resps: [[logprob]] }) => Number(logprob));
  }
});

interface Sample {
  readonly doc_id: number;
  readonly filtered_resps: readonly [readonly [string, string]];
}

/** YAML has JSON in it. */
const taskOf = (data: string): object => ({
  task: TASK,
  dataset_path: 'json',
  dataset_kwargs: { data_files: { test: data } },
  test_split: 'test',
  output_type: 'loglikelihood',
  doc_to_text: '{{context}}',
  doc_to_target: '{{continuation}}',
  target_delimiter: '',
  metric_list: [{ metric: 'perplexity', aggregation: 'perplexity', higher_is_better: false }],
});
