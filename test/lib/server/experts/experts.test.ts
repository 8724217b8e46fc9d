/** The endpoints about experts over a played engine: who may call, what they answer, and what recordings hold. */
import { expect } from 'chai';
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { placementFromJson } from '../../../../experts/placement/placement_json.js';
import { readRecording, type RecordingLine } from '../../../../experts/load/recording_reader.js';
import type { AskedRebalance } from '../../../../lib/head/rebalancing/rebalance_stats.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { ExpertRecorder } from '../../../../lib/server/experts/expert_recorder.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEFAULTS } from '../../../../lib/config/schema.js';
import { checkServer } from '../../../../lib/server/create_server.js';
import { PlayedSource } from '../../../kit/telemetry/played_source.js';
import { TelemeteredApp } from '../../../kit/telemetry/telemetered_app.js';
import { errorOf } from '../../../kit/server/served_app.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

type Answer = Awaited<ReturnType<TelemeteredApp['server']['app']['inject']>>;

const post = (app: TelemeteredApp, url: string, payload?: object): Promise<Answer> =>
  app.server.app.inject({ method: 'POST', url, ...(payload && { payload }) });

const codeOf = (answer: Answer): [number, unknown] => [
  answer.statusCode,
  answer.json<{ error?: { code: string } }>().error?.code,
];

const OWN = ['/experts/record/start', '/experts/record/stop', '/experts/record/dump'] as const;
const SGLANG = [
  '/start_expert_distribution_record',
  '/stop_expert_distribution_record',
  '/dump_expert_distribution_record',
] as const;

async function readLines(file: string): Promise<RecordingLine[]> {
  const lines: RecordingLine[] = [];
  for await (const line of readRecording(file)) lines.push(line);
  return lines;
}

async function linesOf(bytes: Buffer): Promise<RecordingLine[]> {
  return withTempFolder(async (folder) => {
    const file = join(folder, 'r.jsonl.gz');
    writeFileSync(file, bytes);
    return readLines(file);
  });
}

const playSteps = (engine: PlayedSource, count: number): void => {
  for (let i = 0; i < count; i++) engine.step([[{ sequence: 0, numTokens: 3, isPrompt: true, samples: false }]]);
};

describe('the endpoints about experts', () => {
  it('tell which experts worked and where they are, as a placement file has it', async () => {
    const app = await TelemeteredApp.create();
    playSteps(app.engine, 2);
    const load = (await app.server.app.inject({ url: '/experts/load' })).json<Record<string, unknown>>();
    expect(load).to.deep.include({
      ...{ model: 'moe-7m', num_ranks: 2, lost_ranks: [], num_steps: 2, placement_version: 0 },
      ...{
        load: [
          [6, 0, 0, 0],
          [6, 0, 0, 0],
        ],
        window_load: [
          [6, 0, 0, 0],
          [6, 0, 0, 0],
        ],
      },
      ...{
        rank_load: [
          [6, 0],
          [6, 0],
        ],
        balancedness: [0.5, 0.5],
      },
    });
    const placement = (await app.server.app.inject({ url: '/experts/placement' })).json<Record<string, unknown>>();
    expect(placement).to.include({ version: 0, num_ranks: 2, num_experts: 4, slots_per_rank: 2 });
    const shape = { numLayers: 2, numExperts: 4, numRanks: 2 };
    expect(placementFromJson(placement, shape).phy2log).to.deep.equal(app.engine.placement.phy2log);
    await app.server.close();
  });

  it('are for who has the key, and without any key for clients of this machine', async () => {
    const [keyed, open] = [await TelemeteredApp.create({ apiKeys: ['key'] }), await TelemeteredApp.create()];
    for (const [method, url] of [
      ['GET', '/experts/load'],
      ['GET', '/experts/placement'],
      ['GET', '/experts/record'],
      ['POST', '/experts/rebalance'],
      ...[...OWN, ...SGLANG].map((each) => ['POST', each] as const),
    ] as const) {
      expect((await keyed.server.app.inject({ method, url })).statusCode, url).to.equal(401);
      const far = await open.server.app.inject({ method, url, remoteAddress: '192.0.2.7' });
      expect(codeOf(far), url).to.deep.equal([403, 'local_only']);
    }
    await Promise.all([keyed.server.close(), open.server.close()]);
  });

  for (const [start, stop, dump] of [OWN, SGLANG]) {
    it(`${start} … ${dump} records what a file of --record has`, async () => {
      const app = await TelemeteredApp.create();
      playSteps(app.engine, 1); // before anybody records
      const started = await post(app, start, { mode: 'per_pass' });
      expect(started.json()).to.include({ state: 'recording', mode: 'per_pass', num_steps: 0, ended_because: null });
      playSteps(app.engine, 2);
      expect((await post(app, stop)).json()).to.include({ state: 'stopped', num_steps: 2, ended_because: 'asked' });
      playSteps(app.engine, 1); // after
      const answer = await post(app, dump);
      expect(answer.headers['content-type']).to.equal('application/gzip');
      const [header, placement, ...loads] = await linesOf(answer.rawPayload);
      expect(header).to.deep.include({ kind: 'header' });
      expect(placement?.kind === 'placement' && placement.record.layers.length).to.equal(2);
      const expected = [Float64Array.of(3, 0, 0, 0), Float64Array.of(3, 0, 0, 0)];
      expect(loads.map((line) => line.kind === 'load' && line.record)).to.deep.equal([
        { step: 2, numSteps: 1, numTokens: 3, load_LE: expected },
        { step: 3, numSteps: 1, numTokens: 3, load_LE: expected },
      ]);
      expect((await app.server.app.inject({ url: '/experts/record' })).json()).to.include({ state: 'idle' });
      await app.server.close();
    });
  }

  it('record sums by default, and a dump ends a recording that runs', async () => {
    const app = await TelemeteredApp.create();
    await post(app, OWN[0]);
    playSteps(app.engine, 5);
    const [, , ...loads] = await linesOf((await post(app, OWN[2])).rawPayload);
    expect(loads.map((line) => line.kind === 'load' && line.record.numSteps)).to.deep.equal([5]);
    await app.server.close();
  });

  it('refuse what can’t be done now, and modes that the server doesn’t have', async () => {
    const app = await TelemeteredApp.create();
    expect(codeOf(await post(app, OWN[1]))).to.deep.equal([409, 'conflict']);
    expect(codeOf(await post(app, OWN[2]))).to.deep.equal([409, 'conflict']);
    const perToken = await post(app, OWN[0], { mode: 'per_token' });
    expect(codeOf(perToken)).to.deep.equal([400, 'invalid_value']);
    expect(errorOf(perToken).message).to.equal(
      'mode is "per_token"; give "stat" or "per_pass"; the experts of each token are recorded by serve --record FILE --record-mode per_token',
    );
    expect((await post(app, OWN[0])).statusCode).to.equal(200);
    expect(codeOf(await post(app, OWN[0]))).to.deep.equal([409, 'conflict']);
    const negative = await post(app, '/experts/rebalance', { wait_s: -1 });
    expect(codeOf(negative)).to.deep.equal([400, 'invalid_value']);
    expect(errorOf(negative).message).to.equal('wait_s is -1; give a number from 0 to 600');
    expect(codeOf(await post(app, '/experts/rebalance'))).to.deep.equal([400, 'unsupported']);
    await app.server.close();
  });

  it('write a recording where the operator said, under a name that no client chooses', async () => {
    await withTempFolder(async (folder) => {
      const app = await TelemeteredApp.create({ server: { record_dir: folder } });
      await post(app, OWN[0]);
      playSteps(app.engine, 1);
      const { file } = (await post(app, OWN[2], { file: '../elsewhere' })).json<{ readonly file: string }>();
      expect(file).to.match(/^experts-[\dTZ-]+-[\da-f]{8}\.jsonl\.gz$/);
      expect(readdirSync(folder)).to.deep.equal([file]);
      expect(await readLines(join(folder, file))).to.have.length(3);
      await app.server.close();
    });
  });

  it('keep a recording that could not be written, for another try', async () => {
    await withTempFolder(async (folder) => {
      const gone = join(folder, 'gone');
      mkdirSync(gone);
      const app = await TelemeteredApp.create({ server: { record_dir: gone } });
      await post(app, OWN[0]);
      playSteps(app.engine, 1);
      rmdirSync(gone);
      expect(codeOf(await post(app, OWN[2]))).to.deep.equal([500, 'internal_error']);
      mkdirSync(gone);
      const { file } = (await post(app, OWN[2])).json<{ readonly file: string }>();
      expect(await readLines(join(gone, file))).to.have.length(3);
      expect(codeOf(await post(app, OWN[2]))).to.deep.equal([409, 'conflict']);
      await app.server.close();
    });
  });

  it('take a folder for recordings that is there, and nothing else', async () => {
    await withTempFolder(async (folder) => {
      writeFileSync(join(folder, 'file'), '');
      for (const [name, code] of [
        ['file', 'INVALID_VALUE'],
        ['missing', 'NOT_FOUND'],
      ] as const) {
        const server = { ...DEFAULTS.server, record_dir: join(folder, name), port: 0 };
        const { spec } = new PlayedSource(1, { numLayers: 1, numExperts: 1 });
        for (const check of [
          checkServer({ ...DEFAULTS, model: 'm', server }, spec),
          TelemeteredApp.create({ server }),
        ]) {
          const error = await check.then(() => null).catch((thrown: unknown) => thrown);
          expect(error).to.be.instanceOf(ConfigError).and.include({ code, key: 'server.record_dir' });
        }
      }
    });
  });

  it('a recording ends when it is full, and can be dumped', async () => {
    const engine = new PlayedSource(2, { numLayers: 8, numExperts: 256 });
    const recorder = new ExpertRecorder(engine, { ...DEFAULTS, model: 'm' }, 100);
    recorder.start('per_pass');
    for (let i = 0; i < 5000 && recorder.status.state === 'recording'; i++) {
      playSteps(engine, 1);
      while (recorder.status.numPending > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(recorder.status).to.include({ state: 'stopped', endedBecause: 'full' });
    const { numSteps } = recorder.status;
    expect(numSteps).to.be.above(1);
    expect(await linesOf(await recorder.dump((bytes) => bytes))).to.have.length(2 + numSteps);
  });

  it('a recording that can’t keep up with the steps ends, and holds nothing up', async () => {
    const engine = new PlayedSource();
    const recorder = new ExpertRecorder(engine, { ...DEFAULTS, model: 'm' });
    recorder.start('per_pass');
    playSteps(engine, 100); // in one turn of the event loop
    expect(recorder.status).to.include({ numSteps: 64, endedBecause: 'too slow' });
    expect(await linesOf(await recorder.dump((bytes) => bytes))).to.have.length(2 + 64);
  });
});

describe('POST /experts/rebalance', () => {
  const withOutcome = async (
    outcome: () => Promise<AskedRebalance>,
    body: object = { wait_s: 60 },
  ): Promise<Answer> => {
    const app = await TelemeteredApp.create();
    app.engine.rebalance = outcome;
    const answer = await post(app, '/experts/rebalance', body);
    await app.server.close();
    return answer;
  };
  const predicted = { before: 0.5, after: 0.9 };

  it('answers when experts have moved, or that the placement is the best there is', async () => {
    const done = { version: 3, step: 7, numMovedExperts: 4, movedBytes: 100, numSteps: 2, planMs: 1, predicted };
    const moved = await withOutcome(() => Promise.resolve({ kind: 'done', ...done }));
    expect([moved.statusCode, moved.json()]).to.deep.equal([
      200,
      {
        ...{ status: 'done', placement_version: 3, step: 7, num_moved_experts: 4 },
        ...{ moved_bytes: 100, num_steps: 2, plan_ms: 1, balancedness: predicted },
      },
    ]);
    const best = await withOutcome(() => Promise.resolve({ kind: 'unchanged', predicted }));
    expect(best.json()).to.deep.equal({ status: 'unchanged', balancedness: predicted });
  });

  it('answers 202 where no step runs for as long as it was to wait', async () => {
    const answer = await withOutcome(() => new Promise(() => undefined), { wait_s: 0 });
    expect([answer.statusCode, answer.json<{ status: string }>().status]).to.deep.equal([202, 'pending']);
  });

  it('answers 202 at once where the server ends, which waits for nobody then', async () => {
    const app = await TelemeteredApp.create();
    let asked = (): void => undefined;
    const isAsked = new Promise<void>((resolve) => (asked = resolve));
    app.engine.rebalance = () => {
      asked();
      return new Promise(() => undefined);
    };
    const answered = post(app, '/experts/rebalance', { wait_s: 600 });
    await isAsked;
    expect(await app.server.drain()).to.equal(0);
    expect((await answered).statusCode).to.equal(202);
  });

  it('waits no half a minute for steps that nobody asked for', async function () {
    this.timeout(20_000); // less than the 30 s of a server that works
    const answer = await withOutcome(() => new Promise(() => undefined), {});
    expect(answer.statusCode).to.equal(202);
  });

  it('is 409 where experts may not move now, and 500 where they can’t', async () => {
    const fail = (code: 'INVALID_REQUEST' | 'REBALANCE_FAILED'): Promise<Answer> =>
      withOutcome(() => Promise.reject(new EngineError(code, 'why; what to do')));
    const refused = await fail('INVALID_REQUEST');
    expect(codeOf(refused)).to.deep.equal([409, 'conflict']);
    expect(refused.body).to.include('why; what to do');
    expect(codeOf(await fail('REBALANCE_FAILED'))).to.deep.equal([500, 'internal_error']);
  });
});
