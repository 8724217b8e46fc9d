/** Ranks as threads of one process, and sockets in a thread of their own: the same tokens, and nothing left behind. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeCertificates } from '../kit/comm/certificates.js';
import { generateIds, startEngine } from '../kit/engine/engines.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { copyModel } from '../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { kill, lastLine, Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const CASES = moe7mCases();
const THREADS = ['--set', 'comm.transport=threads'];
/** What design.md promises, and how much longer a loaded machine may take. */
const PROMISED_MS = 2000;
const PATIENCE = 3;

const processes = new Processes();

describe('golden of moe-7m on other transports', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  for (const [name, ranks, numProcesses, set] of [
    ['one rank as a thread', 1, 1, ['comm.transport=threads']],
    ['3 ranks as threads', 3, 1, ['comm.transport=threads', 'comm.micro_batches=2']],
    ['2 ranks with an I/O thread each', 2, 2, ['comm.io_thread=true']],
    ['4 ranks on 2 nodes', 4, 4, ['comm.num_nodes=2', 'comm.micro_batches=2']],
  ] as const) {
    it(`greedy tokens of all prompts are the golden ones: ${name}`, async () => {
      const engine = await startEngine({ model: moe7m(), ranks, reduce: 'source', set });
      try {
        const pids = new Set(engine.stats().loadReports.map(({ pid }) => pid));
        expect(pids.size).to.equal(numProcesses);
        const outputs = CASES.map(({ prompt_token_ids: promptTokenIds }) => generateIds(engine, { promptTokenIds }));
        const tokens = (await Promise.all(outputs)).map(({ tokenIds }) => tokenIds);
        expect(tokens).to.deep.equal(CASES.map((golden) => golden.greedy_token_ids));
      } finally {
        await engine.close();
      }
    });
  }
});

describe('a job with TLS', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('gives the golden tokens, also to a rank from elsewhere; one without TLS or of another authority is turned away', async () => {
    await withTempFolder(async (dir) => {
      const env = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
      const [own, other] = [await writeCertificates(dir, 'own'), await writeCertificates(dir, 'other')];
      const golden = CASES[0]!;
      const set = Object.entries(own).flatMap(([name, file]) => ['--set', `comm.tls.${name}=${file}`]);
      const port = await freePort();
      const head = processes.cli(
        [
          ...['generate', '--model', moe7m(), '--prompt', golden.prompt, '--max-new-tokens', '8', ...set],
          ...['--ranks', '1', '--listen', `127.0.0.1:${port}`, '--wait-ranks', '1'],
        ],
        { env },
      );
      const joining = (files: Partial<Record<'cert' | 'key' | 'ca', string>>) => {
        const flags = Object.entries(files).flatMap(([name, file]) => [`--tls-${name}`, file]);
        return processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--join-timeout', '2', ...flags], { env });
      };
      await head.warns('waiting at');
      const [plain, stranger] = await Promise.all([joining({}).ended, joining(other).ended]);
      expect(lastLine(plain.stderr)).to.match(/UNREACHABLE/);
      expect(lastLine(stranger.stderr)).to.match(/AUTH_FAILED/);
      const { code, stderr } = await joining(own).ended;
      expect(code, stderr).to.equal(0);
      expect(golden.text.startsWith((await head.ended).stdout.trimEnd())).to.equal(true);
    });
  });

  it('needs certificate, key and authority, all readable', async () => {
    for (const [set, message] of [
      [['comm.tls.cert=here.pem'], /comm\.tls\.key and comm\.tls\.ca is not given/],
      [['comm.tls.cert=a.pem', 'comm.tls.key=b.pem', 'comm.tls.ca=c.pem'], /"comm\.tls\.cert" is a\.pem/],
    ] as const) {
      const flags = set.flatMap((each) => ['--set', each]);
      const args = ['generate', '--model', tinyModel('tiny-qwen3-moe'), '--prompt-ids', '1,2', ...flags];
      const { code, stderr } = await processes.cli(args).ended;
      expect(code).to.equal(2);
      expect(lastLine(stderr)).to.match(message);
    }
  });
});

describe('a job whose ranks are threads', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('ends when a rank fails, which is named with what it said', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      await writeFile(join(dir, 'model.safetensors'), Buffer.alloc(100));
      const run = processes.cli(['generate', '--model', dir, '--prompt-ids', '1,2', '--ranks', '2', ...THREADS]);
      const { code, stderr } = await run.ended;
      expect(code).to.equal(1);
      expect(lastLine(stderr)).to.match(/^expertwire: MALFORMED_SAFETENSORS: rank [01] on /);
    });
  });

  for (const [what, act, code, last] of [
    ['its process is killed', 'kill', 1, /^expertwire: RANK_LOST: the process of all ranks .* was killed by SIGKILL/],
    ['it is interrupted', 'interrupt', 130, null],
  ] as const) {
    it(`is gone in time when ${what}`, async () => {
      const args = ['generate', '--model', moe7m(), '--ranks', '2', '--max-new-tokens', '480', '--ignore-eos'];
      const run = processes.cli([...args, '--prompt', 'Call me Ishmael.', ...THREADS]);
      await run.prints(/.{20}/s);
      const [host] = processes.running().filter(({ argv }) => argv.includes('--spawned'));
      const atMs = performance.now();
      if (act === 'kill') kill(host!.pid, 'SIGKILL');
      else run.signalGroup('SIGINT');
      const ended = await run.ended;
      expect((await processes.allGone()) - atMs, 'milliseconds').to.be.below(PATIENCE * PROMISED_MS);
      expect(ended.code).to.equal(code);
      if (last !== null) expect(lastLine(ended.stderr)).to.match(last);
    });
  }

  for (const [what, more, message] of [
    [
      'ranks elsewhere',
      ['--listen', '127.0.0.1:0', '--wait-ranks', '1'],
      /comm\.transport.*1 rank joins from elsewhere/,
    ],
    ['masked losses', ['--set', 'comm.on_peer_loss=mask'], /comm\.transport.*comm\.on_peer_loss/],
    ['sockets for an I/O thread', ['--set', 'comm.io_thread=true'], /comm\.transport.*comm\.io_thread/],
  ] as const) {
    it(`has no ${what}`, async () => {
      const env = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
      const args = ['generate', '--model', tinyModel('tiny-qwen3-moe'), '--prompt-ids', '1,2', ...THREADS, ...more];
      const { code, stderr } = await processes.cli(args, { env }).ended;
      expect([code, lastLine(stderr)]).to.have.property('0', 2);
      expect(lastLine(stderr)).to.match(message);
    });
  }
});
