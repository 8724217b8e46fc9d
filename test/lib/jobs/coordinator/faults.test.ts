import { expect } from 'chai';
import fc from 'fast-check';
import type { Job, JobNode, Route } from '../../../../lib/jobs/base/job.js';
import { ENDED, type JobRun } from '../../../../lib/jobs/base/run.js';
import { shardRecord } from '../../../../lib/jobs/base/task.js';
import { textHash } from '../../../../lib/jobs/decisions/text_hash.js';
import { job, node } from '../../../kit/jobs/jobs.js';
import type { Fault } from '../../../kit/jobs/played_bus.js';
import { JobScene } from '../../../kit/jobs/scene.js';

const KINDS: readonly Fault['kind'][] = ['dies before', 'dies after', 'sleeps'];
const every = { kind: 'every', everyMs: 1000 } as const;

/** Each shard of a run's own nodes that succeeded was done once, and of no other node any was done twice. */
function expectOnce(scene: JobScene, run: JobRun): void {
  for (const [name, { state, shardTotal, of }] of Object.entries(run.nodes)) {
    for (let index = 0; index < (shardTotal ?? 0); index++) {
      const effects = scene.effects.get(shardRecord({ run: of, node: name, index })) ?? 0;
      if (state === 'succeeded' || state === 'kept') expect(effects).to.equal(1);
      else expect(effects).to.be.at.most(1);
    }
  }
}

/** Two jobs, one behind the other: a graph with routed shards, asked for twice and fired once. How many calls the first leader made at most. */
async function play(faults: readonly (readonly Fault[])[], isDurable: boolean): Promise<void> {
  const scene = new JobScene(faults, isDurable, ({ key }) => ({ ms: 200 + 100 * key.index, isFailing: false }));
  for (const id of ['a', 'b']) scene.startWorker(id);
  const nodes = [
    node('many', { shards: { kind: 'count', count: 4 } }),
    node('each', { needs: ['many'], shards: { kind: 'broadcast' } }),
  ];
  scene.apply(job({ triggers: [every], keepRuns: 2, nodes }));
  scene.apply(job({ name: 'behind', triggers: [{ kind: 'after', job: 'nightly', on: 'success' }] }));
  await scene.clock.pass(1);
  scene.fire('nightly');
  await scene.clock.pass(500);
  const [first, second] = [scene.ask('nightly'), scene.ask('nightly')];
  await scene.settle();
  await scene.clock.pass(30_000); // whoever slept wakes
  await scene.settle();
  await scene.end();
  const of = (name: string): JobRun[] => scene.runs.filter((run) => run.job.name === name);
  expect(of('nightly').map(({ id }) => id)).to.include.members([second]);
  expect(of('behind').length).to.equal(3, `behind ${first}`);
  for (const run of scene.runs) {
    expect([run.id, run.state, run.isSettled]).to.deep.equal([run.id, 'succeeded', true]);
    expectOnce(scene, run);
  }
  expectNothingLeft(scene, faults);
}

/** What a leader that was asleep did late may lie there: it means nothing, and the next one takes it away. */
function expectNothingLeft(scene: JobScene, faults: readonly (readonly Fault[])[]): void {
  if (faults.flat().some(({ kind }) => kind === 'sleeps')) return;
  expect([scene.bus.list('placed').length, scene.bus.queue.numWaiting]).to.deep.equal([0, 0]);
}

describe('a leader that dies, or falls asleep and wakes when another one leads', () => {
  for (const kind of KINDS) {
    it(`(${kind}) at any call loses no run and does nothing twice`, async function () {
      this.timeout(60_000);
      for (let at = 0; at < 90; at++) {
        try {
          await play([[{ at, kind }]], at % 2 === 0);
        } catch (reason) {
          throw new Error(`at call ${at}: ${String(reason)}`, { cause: reason });
        }
      }
    });
  }
});

/** What befalls jobs, one thing after the other. */
type Event =
  | { readonly kind: 'fire' | 'ask'; readonly job: number }
  | { readonly kind: 'stop' | 'resume'; readonly at: number }
  | { readonly kind: 'kill'; readonly worker: number; readonly isGhost: boolean }
  | { readonly kind: 'start'; readonly worker: number }
  | { readonly kind: 'pass'; readonly ms: number };

const routes: readonly Route[] = ['any', 'round_robin', 'least_busy', 'consistent_hash', 'failover'];
const drawnNode = fc.record({
  needs: fc.nat({ max: 7 }),
  count: fc.integer({ min: 0, max: 6 }),
  isBroadcast: fc.boolean(),
  route: fc.constantFrom(...routes),
});
const drawnJob = fc.record({
  blocking: fc.constantFrom('serial' as const, 'discard' as const, 'cover' as const),
  timeoutMs: fc.constantFrom(null, 3000),
  nodes: fc.array(drawnNode, { minLength: 1, maxLength: 4 }),
});
type Drawn<T> = T extends fc.Arbitrary<infer V> ? V : never;
const drawnEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('fire' as const, 'ask' as const), job: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('stop' as const, 'resume' as const), at: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('kill' as const), worker: fc.nat(2), isGhost: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('start' as const), worker: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 2500 }) }) },
);
const drawnFaults = fc.array(
  fc.array(fc.record({ at: fc.nat(60), kind: fc.constantFrom(...KINDS) }), { maxLength: 1 }),
  { maxLength: 4 },
);

function jobOf(name: string, { blocking, timeoutMs, nodes }: Drawn<typeof drawnJob>): Job {
  const made = nodes.map(({ needs, count, isBroadcast, route }, at): JobNode =>
    node(`n${at}`, {
      needs: nodes.flatMap((_, other) => (other < at && (needs >> other) & 1 ? [`n${other}`] : [])),
      shards: isBroadcast ? { kind: 'broadcast' } : { kind: 'count', count },
      route,
      retries: { count: 1, backoffMs: 100, maxBackoffMs: 100 },
    }),
  );
  return job({ name, triggers: [every], blocking, timeoutMs, keepRuns: 100, nodes: made });
}

class Story {
  readonly scene: JobScene;
  readonly wanted = new Set<string>();
  private numFired = 0;

  constructor(
    private readonly faults: readonly (readonly Fault[])[],
    isDurable: boolean,
  ) {
    this.scene = new JobScene(faults, isDurable, ({ key }, attempt) => ({
      ms: textHash(JSON.stringify([key, attempt])) % 1500,
      isFailing: textHash(JSON.stringify([attempt, key])) % 4 === 0,
    }));
    for (const worker of [0, 1, 2]) this.scene.startWorker(`w${worker}`);
  }

  async tell(event: Event): Promise<void> {
    const { scene } = this;
    switch (event.kind) {
      case 'fire':
        this.numFired++;
        {
          scene.fire(`j${event.job}`);
          return;
        }
      case 'ask':
        return void this.wanted.add(scene.ask(`j${event.job}`));
      case 'pass':
        return scene.clock.pass(event.ms);
      case 'kill': {
        scene.killWorker(`w${event.worker}`, event.isGhost);
        return;
      }
      case 'start':
        if (!scene.workers.has(`w${event.worker}`)) scene.startWorker(`w${event.worker}`);
        return;
      case 'stop': {
        const run = scene.runs[event.at];
        if (run !== undefined && !scene.bus.known.has(`ask.stop-${run.id}`)) scene.askToStop(run.id);
        return;
      }
      case 'resume': {
        const run = scene.runs[event.at];
        if (run !== undefined && ENDED.has(run.state)) this.wanted.add(scene.ask(run.job.name, { resume: run.id }));
      }
    }
  }

  async end(): Promise<void> {
    const { scene } = this;
    if (!scene.workers.has('w0')) scene.startWorker('w0');
    await scene.settle();
    await scene.clock.pass(30_000);
    await scene.settle();
    await scene.end();
    const ids = new Set(scene.runs.map(({ id }) => id));
    for (const id of this.wanted) expect(ids.has(id), id).to.equal(true);
    expect(scene.runs.filter(({ cause }) => cause.kind === 'schedule').length).to.be.at.most(this.numFired);
    for (const run of scene.runs) {
      expect(run.isSettled, run.id).to.equal(true);
      expectOnce(scene, run);
    }
    expectNothingLeft(scene, this.faults);
  }
}

describe('jobs under faults', () => {
  it('whatever dies and when: every run comes to its end, one at a time, and every shard of it is in effect once', async function () {
    this.timeout(120_000);
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(drawnJob, drawnJob),
        fc.array(drawnEvent, { minLength: 5, maxLength: 30 }),
        drawnFaults,
        fc.boolean(),
        async (jobs, events, faults, isDurable) => {
          const story = new Story(faults, isDurable);
          jobs.forEach((drawn, at) => story.scene.apply(jobOf(`j${at}`, drawn)));
          await story.scene.clock.pass(1);
          for (const event of events) await story.tell(event);
          await story.end();
        },
      ),
      { numRuns: 150 },
    );
  });
});
