/** Killed, stopped and interrupted processes: the first cause is told last, and nothing stays behind. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import type { Loss } from '../../lib/head/step_loop.js';
import type { TokenEvent } from '../../lib/protocol/request.js';
import type { EngineStats } from '../../lib/head/engine.js';
import { startEngine } from '../kit/engine/engines.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { copyModel } from '../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { kill, lastLine, Processes, until, type Running } from '../kit/processes/processes.js';
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

/** A process that was forked shows its parent's command line until it runs its own. */
const untilRanksRun = (count: number): Promise<void> =>
  until(
    () => processes.running().filter(({ argv }) => argv.includes('--spawned')).length >= count,
    () => `fewer than ${count} ranks among ${JSON.stringify(processes.running())}`,
  );

function expectWithin(fromMs: number, toMs: number, promisedMs = PROMISED_MS): void {
  expect(toMs - fromMs, 'milliseconds').to.be.below(PATIENCE * promisedMs);
}

function expectNoCrash(stderr: string): void {
  expect(stderr).not.to.match(/expertwire:|Error|\n\s+at |rank \d/);
}

describe('a rank that fails in the middle of a generation, with on_peer_loss: fail', function () {
  this.timeout(60_000);

  const FAIL = ['--set', 'comm.on_peer_loss=fail'];

  afterEach(processes.expectNone);

  it('killed: exit code 1 in time, and the last line names the rank and SIGKILL', async () => {
    const run = await startWriting(3, FAIL);
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
    const run = await startWriting(2, [...FAIL, '--set', 'comm.timeout_ms=1000']);
    kill(processes.rank(1).pid, 'SIGSTOP');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    // Stopped behind its last frame of a step, it keeps nobody but the head waiting.
    const told =
      /^expertwire: TIMEOUT: rank 1 (sent nothing .*, says rank 0 in step \d+|did not finish step \d+ within \d+ ms.*);/;
    expect(lastLine(stderr)).to.match(told);
    processes.expectNone();
  });

  it('terminated from outside: the last line names the rank and SIGTERM', async () => {
    const run = await startWriting(2, FAIL);
    kill(processes.rank(0).pid, 'SIGTERM');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: rank 0 .* SIGTERM/);
    processes.expectNone();
  });
});

describe('a rank that is lost in the middle of a generation', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('killed: exit code 0, the texts that there would have been, and nothing degraded', async () => {
    const set = ['--set', 'comm.reduce=source', '--summary'];
    const args = ['generate', '--model', moe7m(), '--prompt', 'Call me Ishmael.', '--prompt', 'And the LORD'];
    const options = ['--max-new-tokens', '160', '--ignore-eos', ...set];
    const calm = await processes.cli([...args, ...options, '--ranks', '1']).ended;
    const run = processes.cli([...args, ...options, '--ranks', '3']);
    await run.prints(/Call me Ishmael\..{20}/s);
    const victim = processes.rank(1);
    kill(victim.pid, 'SIGKILL');
    const { code, stdout, stderr } = await run.ended;
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal(calm.stdout);
    const told = `^warning: rank 1 \\(process ${victim.pid}\\) was killed by SIGKILL; epoch 1 goes on with 2 ranks; `;
    expect(stderr).to.match(new RegExp(told, 'm'));
    expect(stderr).to.match(/^\d+ experts have new homes, after \d+ ms$/m);
    expect(stderr).to.match(/^rank 1 lost on the way · no token degraded/m);
  });

  it('one of several that `rank --nproc` started: the others go on, and its exit code and last line tell of the loss', async () => {
    const port = await freePort();
    const secret = { env: { EXPERTWIRE_JOB_SECRET: 'a secret of this test' } };
    const join = ['--wait-ranks', '2', '--listen', `127.0.0.1:${port}`];
    const supervisor = processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--rank', '1', '--nproc', '2'], secret);
    const args = ['generate', '--model', moe7m(), '--ranks', '1', ...join, '--summary'];
    const more = ['--max-new-tokens', '240', '--ignore-eos', '--prompt', 'Call me Ishmael.'];
    const head = processes.cli([...args, ...more], secret);
    await head.prints(/.{20}/s);
    const victim = processes.rank(1);
    kill(victim.pid, 'SIGKILL');
    const [headEnd, end] = await Promise.all([head.ended, supervisor.ended]);
    expect(headEnd.code, headEnd.stderr).to.equal(0);
    expect(headEnd.stderr)
      .to.match(/^rank 1 lost on the way/m)
      .and.to.match(/epoch 1 goes on with 2 ranks/);
    expect(end.code).to.equal(1);
    const how = `rank 1 \\(process ${victim.pid}\\) was killed by SIGKILL`;
    expect(end.stderr.match(/^warning: .*$/gm)).to.have.length(1);
    expect(end.stderr).to.match(new RegExp(`^warning: ${how}; the others go on`, 'm'));
    expect(lastLine(end.stderr)).to.match(new RegExp(`^expertwire: RANK_LOST: ${how}`));
  });
});

describe('a rank that is lost in the middle of a generation, with on_peer_loss: mask', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const CASES = moe7mCases().slice(0, 3);
  const NUM_NEW = 24;
  /** Tokens that the first sequence has when the rank is lost. */
  const NUM_BEFORE = 8;

  /** One sequence for each of three ranks. Rank 1 gets `signal` in the middle; the others finish all three. */
  async function lose(signal: NodeJS.Signals, timeoutMs: number): Promise<EngineStats> {
    const set = ['comm.on_peer_loss=mask', `comm.timeout_ms=${timeoutMs}`];
    const engine = await startEngine({ model: moe7m(), ranks: 3, set });
    try {
      let last = (): void => kill(processes.rank(1).pid, signal);
      const outputs = await Promise.all(
        CASES.map(async ({ prompt_token_ids: promptTokenIds }) => {
          const events: TokenEvent[] = [];
          for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true })) {
            if (events.push(event) < NUM_BEFORE) continue;
            last();
            last = () => undefined;
          }
          return events;
        }),
      );
      outputs.forEach((events, i) => {
        const tokens = events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));
        expect(events.map(({ kind }) => kind)).to.deep.equal([...tokens.map(() => 'token'), 'finished']);
        expect(tokens).to.have.length(NUM_NEW);
        expect(tokens.slice(0, NUM_BEFORE)).to.deep.equal(CASES[i]!.greedy_token_ids.slice(0, NUM_BEFORE));
        expect(events.at(-1)).to.have.property('numDegradedTokens').above(0);
      });
      await until(
        () => processes.running().length === 2,
        () => 'the lost rank still runs, or another ended',
      );
      return engine.stats();
    } finally {
      await engine.close();
      processes.expectNone();
      const resources = (): string[] => process.getActiveResourcesInfo(); // a closed one leaves the list in a later turn
      await until(
        () => !resources().includes('TCPServerWrap'),
        () => resources().join(),
      );
    }
  }

  it('killed: the others go on, and what it computed for is computed anew', async () => {
    const stats = await lose('SIGKILL', 10_000);
    expect(stats.lostRanks).to.deep.equal([1]);
    expect(stats.numOutputTokens).to.equal(3 * NUM_NEW);
    expect(stats.numDegradedTokens).to.be.above(0);
  });

  it('stopped: the others go on after comm.timeout_ms, and the stopped process is ended', async () => {
    const stats = await lose('SIGSTOP', 2000);
    expect(stats.lostRanks).to.deep.equal([1]);
    expect(stats.numOutputTokens).to.equal(3 * NUM_NEW);
  });

  it('on the command line: exit code 0, whole texts, one warning, and the summary counts the degraded tokens', async () => {
    const set = ['--set', 'comm.on_peer_loss=mask', '--summary'];
    const args = ['generate', '--model', moe7m(), '--ranks', '3', '--max-new-tokens', '240', '--ignore-eos', ...set];
    const run = processes.cli([...args, '--prompt', 'Call me Ishmael.', '--prompt', 'And the LORD']);
    await run.prints(/Call me Ishmael\..{20}/s);
    const victim = processes.rank(1);
    kill(victim.pid, 'SIGKILL');
    const { code, stderr } = await run.ended;
    expect(code, stderr).to.equal(0);
    expect(stderr.match(/^warning: .* epoch .*$/gm)).to.have.length(1);
    expect(stderr).to.match(
      new RegExp(
        `^warning: rank 1 \\(process ${victim.pid}\\) was killed by SIGKILL; ` +
          'epoch 1 goes on with 2 ranks; step \\d+ runs again; the cache of 1 sequence is computed anew$',
        'm',
      ),
    );
    expect(stderr).to.match(/^rank 1 lost on the way · [1-9]\d* tokens degraded/m);
    expect(stderr).to.match(/ 480 new ones in /);
  });

  it('all of them, one after another: exit code 1, and the last line says that none is left', async () => {
    const run = await startWriting(2, ['--set', 'comm.on_peer_loss=mask']);
    kill(processes.rank(0).pid, 'SIGKILL');
    await run.warns(/epoch 1 goes on with 1 rank/);
    kill(processes.rank(1).pid, 'SIGKILL');
    const { code, stderr } = await run.ended;
    expect(code).to.equal(1);
    expect(lastLine(stderr)).to.match(/^expertwire: RANK_LOST: no rank is left to go on with: rank 1 .* SIGKILL/);
  });

  it('one of another machine that was stopped: it is out for good, and says so when it wakes up', async () => {
    const listen = { host: '127.0.0.1', port: await freePort() };
    const secret = 'a secret of this test';
    const losses: Loss[] = [];
    const base = { model: moe7m(), parallel: { ranks: 2 } };
    const overrides = ['comm.on_peer_loss=mask', 'comm.timeout_ms=2000'];
    const rank = processes.cli(['rank', '--head', `127.0.0.1:${listen.port}`], {
      env: { EXPERTWIRE_JOB_SECRET: secret },
    });
    const engine = await Engine.start({
      config: await loadConfig({ base, overrides }),
      ...{ listen, secret, numExternalRanks: 1, onLoss: (loss: Loss) => void losses.push(loss) },
    });
    try {
      let numEvents = 0;
      const promptTokenIds = CASES[0]!.prompt_token_ids;
      for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true })) {
        if (++numEvents === NUM_BEFORE) rank.signalGroup('SIGSTOP');
        expect(event.kind).to.equal(numEvents <= NUM_NEW ? 'token' : 'finished');
      }
      expect(numEvents).to.equal(NUM_NEW + 1);
    } finally {
      await engine.close();
      rank.signalGroup('SIGCONT');
    }
    expect(losses.map(({ lost }) => lost.map((each) => each.rank))).to.deep.equal([[2]]);
    const { message } = losses[0]!.lost[0]!.error;
    expect(message).to.match(/^TIMEOUT: rank 2 sent nothing .* in 2000 ms, says rank [01] in step \d+;/);
    const woken = await rank.ended;
    expect(woken.code).to.equal(1);
    expect(lastLine(woken.stderr)).to.match(/^expertwire: (TIMEOUT: .*rank 2|HEAD_LOST)/);
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
      expect(lastLine(headEnd.stderr)).to.match(/^expertwire: MALFORMED_SAFETENSORS: rank 2 on /);
    });
  });

  it('killed while others load: exit code 1, named', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me']);
    await untilRanksRun(2);
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
    await untilRanksRun(2);
    const killedMs = run.signal('SIGKILL');
    expectWithin(killedMs, await processes.allGone());
  });

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    for (const whom of ['the head alone', 'the whole process group'] as const) {
      it(`${signal} to ${whom}: everything is gone in time, exit code ${exitCode}, no word of a crash`, async () => {
        const run = await startWriting(2);
        const sentMs = whom === 'the head alone' ? run.signal(signal) : run.signalGroup(signal);
        const { code, stderr } = await run.ended;
        expectWithin(sentMs, await processes.allGone());
        expect(code).to.equal(exitCode);
        expectNoCrash(stderr);
      });
    }
  }

  it('Ctrl-C while the ranks load: everything is gone in time, exit code 130, no word of a crash', async () => {
    const run = processes.cli(['generate', '--model', moe7m(), '--ranks', '2', '--prompt', 'Call me']);
    await untilRanksRun(2);
    const sentMs = run.signalGroup('SIGINT');
    const { code, stderr } = await run.ended;
    expectWithin(sentMs, await processes.allGone());
    expect(code).to.equal(130);
    expectNoCrash(stderr);
  });

  it('a signal that comes before anything runs ends a rank that would wait for its head', async () => {
    // The job secret is read first, from a pipe: it opens for writing when the rank reads, and until it is written nobody listens for the signal.
    await withTempFolder(async (dir) => {
      const secret = join(dir, 'secret');
      execFileSync('mkfifo', [secret]);
      const run = processes.cli(['rank', '--head', '127.0.0.1:9', '--join-timeout', '600', '--secret-file', secret]);
      const pipe = await open(secret, 'w');
      const sentMs = run.signal('SIGTERM');
      await delay(100);
      await pipe.writeFile('a secret of this test');
      await pipe.close();
      expect((await run.ended).code).to.equal(143);
      expectWithin(sentMs, await processes.allGone());
    });
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
    const { code, stderr } = await run.ended;
    expect([code, stderr]).to.deep.equal([1, '']);
    processes.expectNone();
  });
});
