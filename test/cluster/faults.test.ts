/** Killed, stopped and interrupted processes: the first cause is told last, and nothing stays behind. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyModel } from '../kit/model_copy.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/ports.js';
import { kill, lastLine, Processes, until, type Running } from '../kit/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();

/** What design.md promises, and how much longer a loaded machine may take. */
const PROMISED_MS = 2000;
const PATIENCE = 3;

/** A job that writes for many seconds, in the middle of it. */
async function startWriting(numRanks: number, more: readonly string[] = []): Promise<Running> {
  const prompts = ['Call me Ishmael.', 'And the LORD', 'The Congress', 'export function'].flatMap((text) => [
    '--prompt',
    text,
  ]);
  const args = ['generate', '--model', moe7m(), '--ranks', String(numRanks), '--max-new-tokens', '480', '--ignore-eos'];
  const run = processes.cli([...args, ...prompts, ...more]);
  await run.prints(/Call me Ishmael\..{20}/s);
  return run;
}

const untilRunning = (count: number): Promise<void> =>
  until(
    () => processes.running().length >= count,
    () => `${processes.running().length} processes instead of ${count}`,
  );

function expectWithin(fromMs: number, toMs: number, promisedMs = PROMISED_MS): void {
  expect(toMs - fromMs, 'milliseconds').to.be.below(PATIENCE * promisedMs);
}

function expectNoCrash(stderr: string): void {
  expect(stderr).not.to.match(/expertwire:|Error|\n\s+at |rank \d/);
}

describe('a rank that fails in the middle of a generation', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('killed: exit code 1 in time, and the last line names the rank and SIGKILL', async () => {
    const run = await startWriting(3);
    const victim = processes.rank(1);
    const killedMs = performance.now();
    kill(victim.pid, 'SIGKILL');
    const { code, stderr, atMs } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: rank 1 \(process \d+\) was killed by SIGKILL/);
    expect(lastLine(stderr)).to.include(`process ${victim.pid}`);
    expectWithin(killedMs, atMs);
    processes.expectNone();
  });

  it('stopped: TIMEOUT naming the rank, and the stopped process is ended too', async () => {
    const run = await startWriting(2, ['--set', 'comm.timeout_ms=1000']);
    kill(processes.rank(1).pid, 'SIGSTOP');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: TIMEOUT: .*rank 1\b/);
    processes.expectNone();
  });

  it('terminated from outside: the last line names the rank and SIGTERM', async () => {
    const run = await startWriting(2);
    kill(processes.rank(0).pid, 'SIGTERM');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: rank 0 .* SIGTERM/);
    processes.expectNone();
  });
});

describe('a rank that fails while loading', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('is named, with what it said', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-qwen3-moe'), dir);
      await writeFile(join(dir, 'model.safetensors'), Buffer.alloc(100));
      const port = await freePort();
      const secret = { env: { EXPERTWIRE_JOB_SECRET: 'a secret of this test' } };
      const job = ['--ranks', '2', '--wait-ranks', '1', '--listen', `127.0.0.1:${port}`];
      const head = processes.cli(
        ['generate', '--model', tinyModel('tiny-qwen3-moe'), '--prompt-ids', '1,2', ...job],
        secret,
      );
      const rank = processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--model', dir], secret);
      const [headEnd, rankEnd] = await Promise.all([head.ended, rank.ended]);
      expect([headEnd.code, rankEnd.code]).to.deep.equal([1, 1]);
      expect(lastLine(rankEnd.stderr)).to.include('MALFORMED_SAFETENSORS').and.to.include(dir);
      expect(lastLine(headEnd.stderr)).to.match(/^expertwire: .*rank 2 failed.*MALFORMED_SAFETENSORS/);
    });
  });

  it('killed while others load: exit code 1, named', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me']);
    await untilRunning(3);
    kill(processes.rank(1).pid, 'SIGKILL');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: rank 1 .* SIGKILL/);
  });
});

describe('a head that ends', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('killed: all ranks are gone in time', async () => {
    const run = await startWriting(3);
    const killedMs = run.signal('SIGKILL');
    expectWithin(killedMs, await processes.allGone());
    expect((await run.ended).signal).to.equal('SIGKILL');
  });

  it('killed while the ranks load: all of them are gone in time', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me']);
    await untilRunning(3);
    const killedMs = run.signal('SIGKILL');
    expectWithin(killedMs, await processes.allGone());
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    for (const whom of ['the head alone', 'the whole process group'] as const) {
      it(`${signal} to ${whom}: everything is gone in time, exit code 130, no word of a crash`, async () => {
        const run = await startWriting(2);
        const sentMs = whom === 'the head alone' ? run.signal(signal) : run.signalGroup(signal);
        const { code, stderr } = await run.ended;
        expectWithin(sentMs, await processes.allGone());
        expect(code).to.equal(130);
        expectNoCrash(stderr);
      });
    }
  }

  it('Ctrl-C while the ranks load: everything is gone in time, exit code 130, no word of a crash', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me']);
    await untilRunning(3);
    const sentMs = run.signalGroup('SIGINT');
    const { code, stderr } = await run.ended;
    expectWithin(sentMs, await processes.allGone());
    expect(code).to.equal(130);
    expectNoCrash(stderr);
  });

  it('Ctrl-C with a stopped rank: everything is gone in time', async () => {
    const run = await startWriting(2);
    kill(processes.rank(1).pid, 'SIGSTOP');
    const sentMs = run.signalGroup('SIGINT');
    const { code, stderr } = await run.ended;
    expectWithin(sentMs, await processes.allGone());
    expect(code).to.equal(130);
    expectNoCrash(stderr);
  });

  it('a reader that goes away ends the job quietly', async () => {
    const run = await startWriting(2);
    run.closeStdout();
    const { stderr } = await run.ended;
    expectNoCrash(stderr);
    processes.expectNone();
  });
});
