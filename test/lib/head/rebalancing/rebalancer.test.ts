/** When the head plans, moves and switches; nothing is computed here. */
import { expect } from 'chai';
import { LivePlacement } from '../../../../experts/placement/live_placement.js';
import { createPlacement, placementFrom, type Placement } from '../../../../experts/placement/placement.js';
import type { Plan } from '../../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../../experts/placement/planners/topology.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { DEFAULTS, type ExpertwireConfig } from '../../../../lib/config/schema.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { checkPlanner } from '../../../../lib/head/rebalancing/planner_check.js';
import { PluginRegistry } from '../../../../lib/plugins/plugin_registry.js';
import { PlannerThread } from '../../../../lib/head/rebalancing/planner_thread.js';
import type { RebalanceEvent } from '../../../../lib/head/rebalancing/rebalance_stats.js';
import { Mover } from '../../../../lib/head/rebalancing/mover.js';
import { Rebalancer } from '../../../../lib/head/rebalancing/rebalancer.js';
import { observedStep } from '../../../../lib/head/observing/step_observer.js';
import type { MoveOrder, MoveReport, StepPlan, StepResult } from '../../../../lib/protocol/step_plan.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { moe7m } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

const table = (...experts: number[]): Int32Array => Int32Array.from(experts);
const START = placementFrom(0, 2, 4, [table(0, 1, 2, 3), table(0, 1, 2, 3), table(0, 1, 2, 3)]);
/** Layers 0 and 2 change, by one exchange each. */
const WANTED = [table(0, 2, 1, 3), table(1, 0, 2, 3), table(0, 3, 2, 1)];

const LOAD = START.phy2log.map(() => Float64Array.of(1, 2, 3, 4));

const SPEC = { layers: [], moe: { gate: { groups: null } } } as unknown as ModelSpec;

const planOf = (current: Placement, gain: number, tables: readonly Int32Array[] = WANTED): Plan => ({
  placement: placementFrom(current.version + 1, current.numRanks, current.numExperts, tables),
  report: {
    before: { even: 0.5, balanced: 0.5 },
    after: { even: 0.5 + gain, balanced: 0.5 + gain },
    numMovedSlots: 4,
    planMs: 1,
  },
});

/** A head without ranks: what it tells them, and steps that they report. */
class Head {
  readonly told: string[] = [];
  readonly orders: MoveOrder[] = [];
  readonly events: RebalanceEvent[] = [];
  readonly placement = new LivePlacement(START);
  readonly mover: Mover;
  readonly rebalancer: Rebalancer;
  plan: (current: Placement) => Promise<Plan> = (current) => Promise.resolve(planOf(current, 0.2));
  numPlans = 0;
  readonly topologies: PlanTopology[] = [];
  capacities: readonly number[] | undefined = undefined;
  epoch = 0;
  numSteps = 0;

  constructor(keys: Partial<ExpertwireConfig['load_balance']> = {}) {
    const base = { ...DEFAULTS.load_balance, enabled: true, step_interval: 3, cool_down: 0, min_gain: 0.1 };
    const config = { ...base, ...keys };
    this.mover = new Mover({
      spec: SPEC,
      placement: this.placement,
      numNodes: 1,
      limits: { bytesPerStep: 1000, numLayers: config.layer_updates_per_step, isRegular: true },
      job: {
        expertDigests: new Map(),
        move: (move, epoch) => {
          if (epoch !== this.epoch) return false;
          this.orders.push(move);
          this.told.push(`${move.kind} ${move.kind === 'prepare' ? move.order.version : move.version}`);
          return true;
        },
      },
    });
    this.rebalancer = new Rebalancer({
      config: { ...DEFAULTS, model: 'none', load_balance: config },
      spec: SPEC,
      placement: this.placement,
      window: { load_LE: LOAD },
      mover: this.mover,
      holders: () => this.placement.ranks,
      capacities: () => this.capacities,
      planning: {
        plan: (_, topology, current) => {
          this.numPlans++;
          this.topologies.push(topology);
          return this.plan(current);
        },
        prepare: () => undefined,
        close: () => Promise.resolve(),
      },
      onRebalance: (event) => void this.events.push(event),
    });
  }

  /** One step: what it ran with. Ranks report what `moved` says about a round. */
  async step(moved: Partial<MoveReport> = {}): Promise<{ placementVersion: number; moveRound?: number }> {
    const next = this.mover.next({ epoch: this.epoch, step: this.numSteps });
    this.numSteps++;
    const last = this.orders.at(-1);
    const version = last?.kind === 'prepare' ? last.order.version : -1;
    const report = { version, isComplete: true, receivedBytes: 10, stallMs: 1, timeline: [], ...moved };
    const result = {
      load: START.phy2log.map(() => [1, 2, 3, 4]),
      rankLoad: START.phy2log.map(() => [5, 5]),
      ...(next.moveRound !== undefined && { moved: report }),
    } as unknown as StepResult;
    const plans = [{ step: this.numSteps, ...next } as StepPlan];
    const placement = this.placement.left;
    const step = observedStep({ plans, results: [result, result], numTokens: 10, stepMs: 5, placement });
    void this.rebalancer.observe(step);
    this.mover.observe(step);
    await new Promise((resolve) => setImmediate(resolve));
    return next;
  }

  /** The ranks enter an epoch. */
  enter(): void {
    this.mover.enter();
    this.rebalancer.enter();
  }

  async steps(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.step();
  }
}

const NO_PLUGINS = new PluginRegistry();

describe('the head of a rebalance', () => {
  it('plans after step_interval steps, moves layer by layer, and names a version only when all ranks hold it', async () => {
    const head = new Head();
    await head.steps(2);
    expect(head.numPlans).to.equal(0);
    await head.step();
    expect(head.numPlans).to.equal(1);
    expect(await head.step({ isComplete: false })).to.deep.equal({ placementVersion: 0, moveRound: 0 });
    expect(head.told).to.deep.equal(['prepare 1']);
    expect(await head.step({ isComplete: true })).to.deep.equal({ placementVersion: 0, moveRound: 1 });
    expect(head.placement.whole).to.equal(START);
    expect(await head.step()).to.deep.equal({ placementVersion: 1, moveRound: 0 });
    expect(head.told).to.deep.equal(['prepare 1', 'commit 1', 'prepare 2']);
    // Layer 1 only has its slots in another order: it stays.
    expect(head.placement.whole.phy2log).to.deep.equal([WANTED[0], START.phy2log[1], START.phy2log[2]]);
    expect(await head.step()).to.deep.equal({ placementVersion: 2 });
    expect(head.placement.whole.phy2log).to.deep.equal([WANTED[0], START.phy2log[1], WANTED[2]]);
    const predicted = { before: 0.5, after: 0.7 };
    expect(head.events).to.deep.equal([
      { kind: 'done', version: 2, step: 6, numMovedExperts: 4, movedBytes: 60, numSteps: 3, planMs: 1, predicted },
    ]);
    expect(head.rebalancer.stats().rebalancedAt).to.deep.equal([6]);
    const { numRebalances, movedBytes, longestStallMs, longestStepMs, medianStepMs } = head.rebalancer.stats();
    expect([numRebalances, movedBytes, longestStallMs, longestStepMs, medianStepMs]).to.deep.equal([1, 60, 1, 5, 5]);
  });

  it('with layer_updates_per_step switches several layers together', async () => {
    const head = new Head({ layer_updates_per_step: 2 });
    await head.steps(3);
    await head.step();
    expect(await head.step()).to.deep.equal({ placementVersion: 1 });
    expect(head.placement.whole.phy2log).to.deep.equal([WANTED[0], START.phy2log[1], WANTED[2]]);
  });

  it('leaves what gains less than min_gain, and what changes nothing', async () => {
    const head = new Head();
    head.plan = (current) => Promise.resolve(planOf(current, 0.09));
    await head.steps(5);
    head.plan = (current) => Promise.resolve(planOf(current, 0.5, START.phy2log));
    await head.steps(5);
    expect(head.told).to.deep.equal([]);
    expect(head.numPlans).to.equal(3);
    expect(head.rebalancer.stats().numSkipped).to.equal(3);
  });

  it('plans at once, and by their capacities, where ranks turn out to differ in speed, and when they no longer do', async () => {
    const head = new Head({ step_interval: 100 });
    head.plan = (current) => Promise.resolve(planOf(current, 0));
    await head.steps(2);
    head.capacities = [1, 0.5];
    await head.steps(5);
    const alike = { numRanks: 2, numSlots: 4, numNodes: 1, numGroups: 1 };
    const unequal = { ...alike, capacities: [1, 0.5], maxSlotsPerRank: 2 };
    expect(head.topologies).to.deep.equal([unequal]);
    head.capacities = undefined;
    await head.steps(5);
    expect(head.topologies).to.deep.equal([unequal, alike]);
  });

  it('rests for cool_down steps after experts moved, and after they could not be moved', async () => {
    const head = new Head({ cool_down: 10, layer_updates_per_step: 2 });
    await head.steps(5); // planned after 3, moved in 4, done before 5
    expect(head.rebalancer.stats().numRebalances).to.equal(1);
    await head.steps(8);
    expect(head.numPlans).to.equal(1);
    await head.step();
    expect(head.numPlans).to.equal(2);

    const failing = new Head({ cool_down: 10 });
    await failing.steps(3);
    await failing.step({ error: { code: 'LIMIT', reason: 'too much', advice: '', blames: [] } });
    expect(failing.told).to.deep.equal(['prepare 1', 'drop 1']);
    expect(failing.placement.whole).to.equal(START);
    const [event] = failing.events;
    expect(event?.kind === 'failed' && event.error.message).to.match(
      /^REBALANCE_FAILED: experts were not moved \(rank 0: LIMIT: too much\); the placement stays as it is/,
    );
    await failing.steps(9);
    expect(failing.numPlans).to.equal(1);
    await failing.step();
    expect(failing.numPlans).to.equal(2);
  });

  it('a new epoch drops what was moving and a plan that is being made', async () => {
    const head = new Head();
    await head.steps(3);
    await head.step({ isComplete: true });
    head.epoch = 1; // declared after the step, before the head heard of it
    expect(head.mover.next({ epoch: 0, step: head.numSteps })).to.deep.equal({ placementVersion: 0 });
    expect(head.placement.whole).to.equal(START);
    let answer: (plan: Plan) => void = () => undefined;
    head.plan = () => new Promise((resolve) => (answer = resolve));
    head.enter();
    await head.steps(3);
    head.enter();
    answer(planOf(START, 0.5));
    await head.steps(2);
    expect(head.told).to.deep.equal(['prepare 1']);
  });

  it('gives up planning when a plan fails, and says so once', async () => {
    const head = new Head();
    head.plan = () => Promise.reject(new Error('no way'));
    await head.steps(20);
    expect(head.numPlans).to.equal(1);
    expect(head.events.map((event) => event.kind === 'failed' && event.error.code)).to.deep.equal(['REBALANCE_FAILED']);
    expect(head.rebalancer.stats().lastError).to.include('no placement can be planned (no way)');
  });
});

describe('a rebalance that somebody asks for', () => {
  /** Nothing would be planned by itself, nor moved for so little. */
  const LAZY = { step_interval: 1000, cool_down: 1000, min_gain: 1, layer_updates_per_step: 2 };

  it('is planned at once, moves beside the next steps whatever it gains, and resolves when experts have moved', async () => {
    const head = new Head(LAZY);
    await head.step();
    const outcome = head.rebalancer.rebalance();
    expect(head.numPlans).to.equal(1);
    await head.steps(2);
    expect(head.told).to.deep.equal(['prepare 1']);
    await head.step();
    const { kind, ...done } = await outcome;
    expect(kind).to.equal('done');
    expect(head.events).to.deep.equal([{ kind: 'done', ...done }]);
    expect(head.placement.version).to.equal(1);
    // The next one need not wait for cool_down.
    const again = head.rebalancer.rebalance();
    await head.steps(2);
    expect((await again).kind).to.equal('unchanged');
  });

  it('says at once, without a step, that the best plan is the placement in force', async () => {
    const head = new Head(LAZY);
    head.plan = (current) => Promise.resolve(planOf(current, 0, START.phy2log));
    await head.step();
    expect(await head.rebalancer.rebalance()).to.deep.equal({
      kind: 'unchanged',
      predicted: { before: 0.5, after: 0.5 },
    });
  });

  it('takes over a plan that is being made', async () => {
    const head = new Head({ min_gain: 1, step_interval: 4, layer_updates_per_step: 2 });
    let answer: () => void = () => undefined;
    head.plan = (current) => new Promise((resolve) => (answer = () => resolve(planOf(current, 0.2))));
    await head.steps(4);
    const outcome = head.rebalancer.rebalance();
    answer();
    await head.steps(3);
    expect((await outcome).kind).to.equal('done');
    expect(head.numPlans).to.equal(1);
  });

  it('is refused before the first step, while experts move, and while another waits', async () => {
    const head = new Head(LAZY);
    const refused = async (): Promise<string> =>
      (await errorOf(EngineError, () => head.rebalancer.rebalance())).message;
    expect(await refused()).to.match(/^INVALID_REQUEST: no step has run/);
    await head.step();
    const outcome = head.rebalancer.rebalance();
    expect(await refused()).to.match(/^INVALID_REQUEST: a rebalance was asked for already/);
    await head.step({ isComplete: false });
    await head.step({ isComplete: true });
    await head.step();
    await outcome;

    const moving = new Head();
    await moving.steps(4);
    const error = await errorOf(EngineError, () => moving.rebalancer.rebalance());
    expect(error.message).to.match(/^INVALID_REQUEST: experts are being moved already/);
  });

  it('rejects where experts can’t be moved, a rank is lost, the engine closes, or its caller gives it up', async () => {
    const failing = async (act: (head: Head) => void | Promise<void>): Promise<string> => {
      const head = new Head(LAZY);
      await head.step();
      const outcome = errorOf(EngineError, () => head.rebalancer.rebalance(controller.signal));
      await act(head);
      return (await outcome).code;
    };
    const controller = new AbortController();
    const error = { code: 'LIMIT', reason: 'too much', advice: '', blames: [] };
    const moveBadly = async (head: Head): Promise<void> => {
      await head.step();
      await head.step({ error });
    };
    expect(await failing(moveBadly)).to.equal('REBALANCE_FAILED');
    expect(await failing((head) => head.enter())).to.equal('REBALANCE_FAILED');
    expect(await failing((head) => head.rebalancer.fail(new EngineError('CLOSED', 'the engine was closed')))).to.equal(
      'CLOSED',
    );
    expect(await failing(() => controller.abort())).to.equal('CLOSED');
    expect(await failing(() => undefined)).to.equal('CLOSED'); // aborted before
  });

  it('that was given up leaves a plan to be judged as any other', async () => {
    const head = new Head(LAZY);
    await head.step();
    const controller = new AbortController();
    const outcome = errorOf(EngineError, () => head.rebalancer.rebalance(controller.signal));
    controller.abort();
    await outcome;
    await head.steps(3);
    expect(head.told).to.deep.equal([]);
    expect(head.rebalancer.stats().numSkipped).to.equal(1);
  });
});

describe('a planner beside the event loop', () => {
  const topology = { numRanks: 2, numSlots: 4 };

  it('answers in order, with what the planner says, and ends with close', async () => {
    const thread = new PlannerThread('eplb_stable');
    const load_LE = [Float64Array.of(10, 9, 1, 1)];
    const current = placementFrom(3, 2, 4, [table(0, 1, 2, 3)]);
    const impossible = thread.plan(load_LE, { numRanks: 2, numSlots: 3 }, current);
    const possible = thread.plan(load_LE, topology, current);
    expect((await errorOf(EngineError, () => impossible)).message).to.include('3 slots for 4 experts');
    const { placement, report } = await possible;
    expect([placement.version, placement.numRanks]).to.deep.equal([4, 2]);
    expect(report.before!.even).to.be.closeTo(10.5 / 19, 1e-12);
    expect(report.after.even).to.equal(10.5 / 11);
    // So large that it can't be done before the thread ends.
    const large = createPlacement('linear', { numLayers: 58, numExperts: 256, numRanks: 32 });
    const loads = Array.from({ length: 58 }, () => Float64Array.from({ length: 256 }, (_, e) => 1 / (1 + e)));
    const late = thread.plan(loads, { numRanks: 32, numSlots: 288 }, large);
    await Promise.all([thread.close(), errorOf(EngineError, () => late)]);
  });

  it('that can not serve the job is refused before it starts', async () => {
    const base = { model: moe7m(), load_balance: { enabled: true, planner: 'eplb' } } as const;
    const config = await loadConfig({ base });
    const uneven = placementFrom(0, 2, 3, [table(0, 1, 2, -1)]);
    const error = await errorOf(ConfigError, () => checkPlanner(config, uneven, SPEC, NO_PLUGINS));
    expect(error.message).to.match(/^INVALID_VALUE: "load_balance.planner": eplb can't plan for this job: /);
    const long = { ...config.load_balance, planner: 'eplb_stable', window_size: 1e9 } as const;
    const tooLong = await errorOf(ConfigError, () =>
      checkPlanner({ ...config, load_balance: long }, uneven, SPEC, NO_PLUGINS),
    );
    expect(tooLong.message).to.match(/^INVALID_VALUE: "load_balance.window_size": 1000000000 is too long: /);
    checkPlanner({ ...config, load_balance: DEFAULTS.load_balance }, uneven, SPEC, NO_PLUGINS); // nobody plans
  });
});
