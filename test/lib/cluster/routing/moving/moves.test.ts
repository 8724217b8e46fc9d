import { expect } from 'chai';
import fc from 'fast-check';
import type { InstanceRecord } from '../../../../../lib/cluster/base/instance_record.js';
import type { InstanceView } from '../../../../../lib/cluster/base/instance_view.js';
import type { RequestLoad } from '../../../../../lib/cluster/base/load_report.js';
import { freenessOf } from '../../../../../lib/cluster/routing/moving/freeness.js';
import { planMoves, type Move, type MoveSettings } from '../../../../../lib/cluster/routing/moving/moves.js';
import { MOVE_CHOICES, MOVE_REASONS, type MoveChoice } from '../../../../../lib/config/router_schema.js';
import { candidateOf, listedRequest, reportOf } from '../../../../kit/cluster/views.js';

const SETTINGS: MoveSettings = { reasons: MOVE_REASONS, request: 'SR', outBelow: 10, maxAtOnce: 4 };

/** An instance of 100 blocks on one rank. */
function site(id: string, requests: readonly RequestLoad[], record: Partial<InstanceRecord> = {}): InstanceView {
  const running = requests.filter(({ isRunning }) => isRunning);
  const numUsedBlocks = running.reduce((sum, { numBlocks }) => sum + numBlocks, 0);
  const load = reportOf(id, {
    requests,
    numUsedBlocks,
    numFreeBlocksOfRank: 100 - numUsedBlocks,
    numRunning: running.length,
    numWaiting: requests.length - running.length,
  });
  return { ...candidateOf(id, { record }), load };
}

const running = (id: string, numBlocks: number, changes: Partial<RequestLoad> = {}): RequestLoad =>
  listedRequest(id, { numBlocks, numPromptTokens: 4 * numBlocks, ...changes });
const waiting = (id: string, numBlocks: number, changes: Partial<RequestLoad> = {}): RequestLoad =>
  running(id, numBlocks, { isRunning: false, ...changes });

const full = (...ids: readonly string[]): RequestLoad[] => ids.map((id, arrival) => running(id, 30, { arrival }));
const told = (moves: readonly Move[]): string[] => moves.map(({ request, from, to, reason }) => `${request} ${from}→${to} ${reason}`); // prettier-ignore

describe('planMoves', () => {
  it('takes from who has fewest free blocks per request to who has most', () => {
    const views = [site('a', full('1', '2', '3')), site('b', full('4')), site('c', [])];
    expect(told(planMoves(views, SETTINGS))).to.deep.equal(['1 a→c balance']);
    expect(planMoves(views, { ...SETTINGS, outBelow: 3 }), 'a has 10 / 3').to.deep.equal([]);
    expect(planMoves(views, { ...SETTINGS, reasons: ['defragment'] })).to.deep.equal([]);
  });

  it('gives away the last come, the shortest, the longest, or the first that waits', () => {
    const requests = [
      running('long', 50, { arrival: 1 }),
      running('short', 10, { arrival: 2 }),
      running('last', 30, { arrival: 3 }),
      waiting('later', 20, { arrival: 5 }),
      waiting('first', 5, { arrival: 4 }),
    ];
    const chosen = (request: MoveChoice): string => planMoves([site('a', requests), site('b', [])], { ...SETTINGS, reasons: ['balance'], request })[0]!.request; // prettier-ignore
    expect(MOVE_CHOICES.map((choice) => [choice, chosen(choice)])).to.deep.equal([
      ['LCR', 'last'],
      ['SR', 'short'],
      ['LR', 'long'],
      ['FCW', 'first'],
    ]);
  });

  it('leaves requests that can’t move, and instances that are gone, foreign, drain, compute prompts alone or have other weights', () => {
    const busy = site('a', full('1', '2', '3'));
    for (const record of [{ isDraining: true }, { role: 'prefill' }, { fingerprint: 'g' }, { model: 'n' }] as const) {
      expect(planMoves([busy, site('b', [], record)], SETTINGS)).to.deep.equal([]);
    }
    expect(planMoves([busy, { ...site('b', []), isHealthy: false }], SETTINGS)).to.deep.equal([]);
    expect(planMoves([busy, { ...site('b', []), load: null }], SETTINGS)).to.deep.equal([]);
    expect(planMoves([busy, site('b', [], { kind: 'foreign', fingerprint: 'f' })], SETTINGS)).to.deep.equal([]);
    const stuck = full('1', '2', '3').map((each) => ({ ...each, isMovable: false }));
    expect(planMoves([site('a', stuck), site('b', [])], SETTINGS)).to.deep.equal([]);
  });

  it('sends a request that fits nowhere here to where it fits, and otherwise makes room for it', () => {
    const waits = waiting('w', 45);
    const fitting = [site('a', [...full('1', '2'), waits]), site('b', full('3'))];
    expect(told(planMoves(fitting, SETTINGS))).to.deep.equal(['w a→b defragment']);
    const crowded = [site('a', [running('1', 60), running('2', 10), waits]), site('b', [running('3', 70)])];
    expect(told(planMoves(crowded, SETTINGS)), 'for 45 blocks beside 60').to.deep.equal(['2 a→b defragment']);
    const calm = { ...SETTINGS, reasons: ['balance'] } as const;
    expect(planMoves(crowded, calm)).to.deep.equal([]);
  });

  it('moves others away from one that comes first, which stays', () => {
    const views = [site('a', [running('first', 20, { priority: -1 }), running('2', 50)]), site('b', [])];
    const settings = { ...SETTINGS, outBelow: 8 };
    expect(told(planMoves(views, settings))).to.deep.equal(['2 a→b priority']);
    expect(planMoves(views, { ...settings, reasons: ['balance', 'defragment'] }), '30 / 2 are left').to.deep.equal([]);
  });

  it('empties who drains, the first come first, also requests that wait, as far as there is room', () => {
    const requests = [running('2', 30, { arrival: 2 }), running('1', 30, { arrival: 1 }), waiting('3', 5, { arrival: 3 })]; // prettier-ignore
    const views = [site('a', requests, { isDraining: true }), site('b', [running('4', 65)])];
    expect(told(planMoves(views, { ...SETTINGS, reasons: [] }))).to.deep.equal(['1 a→b drain']);
    const roomy = [...views, site('c', [])];
    expect(told(planMoves(roomy, { ...SETTINGS, reasons: [] }))).to.deep.equal(['1 a→c drain', '2 a→c drain', '3 a→b drain']); // prettier-ignore
  });

  it('has no more under way than it may, and counts those where they will be', () => {
    const views = [site('a', full('1', '2', '3')), site('b', []), site('c', [])];
    const first = planMoves(views, { ...SETTINGS, maxAtOnce: 1 });
    expect(told(first)).to.deep.equal(['1 a→b balance']);
    expect(planMoves(views, { ...SETTINGS, maxAtOnce: 1 }, first)).to.deep.equal([]);
    expect(planMoves(views, SETTINGS, first), 'a has 40 / 2 then').to.deep.equal([]);
    expect(told(planMoves(views, { ...SETTINGS, outBelow: 50 }, first))).to.deep.equal(['2 a→c balance']);
  });

  const request = fc.record({
    numBlocks: fc.integer({ min: 1, max: 40 }),
    isRunning: fc.boolean(),
    isMovable: fc.boolean(),
    priority: fc.constantFrom(0, 0, -1, 1),
  });
  const anySite = fc.record({
    requests: fc.array(request, { maxLength: 6 }),
    record: fc.record({
      isDraining: fc.boolean(),
      role: fc.constantFrom('mixed' as const, 'decode' as const, 'prefill' as const),
    }),
    isHealthy: fc.constantFrom(true, true, true, false),
  });
  /** Blocks that are held beyond what there is don't happen. */
  const fitted = (requests: readonly RequestLoad[]): RequestLoad[] => {
    let left = 100;
    return requests.map((each) => ({ ...each, isRunning: each.isRunning && (left -= each.numBlocks) >= 0 }));
  };
  const settings = fc.record({
    reasons: fc.subarray([...MOVE_REASONS]),
    request: fc.constantFrom(...MOVE_CHOICES),
    outBelow: fc.integer({ min: 0, max: 40 }),
    maxAtOnce: fc.integer({ min: 1, max: 8 }),
  });

  it('never sends where there is no room or nobody may go, nor twice, nor more than may be; and ends', () => {
    const property = fc.property(fc.array(anySite, { maxLength: 5 }), settings, (sites, how) => {
      let views = sites.map(({ requests, record, isHealthy }, i) => {
        const listed = requests.map((each, j) => listedRequest(`${i}.${j}`, { ...each, arrival: j }));
        return { ...site(String(i), fitted(listed), record), isHealthy };
      });
      const roomOf = ({ load, record }: InstanceView) => freenessOf({ ...load!, isDraining: record.isDraining }, how.reasons); // prettier-ignore
      const poorest = () => Math.min(...views.filter(({ record, isHealthy }) => isHealthy && !record.isDraining).map(roomOf)); // prettier-ignore
      let numRounds = 0;
      for (let moves = planMoves(views, how); moves.length > 0; moves = planMoves(views, how)) {
        expect(++numRounds, 'requests move to and fro').to.be.lessThan(200);
        expect(moves.length).to.be.at.most(how.maxAtOnce);
        expect(new Set(moves.map(({ request: id }) => id)).size).to.equal(moves.length);
        const before = poorest();
        let areRunning = true;
        for (const move of moves) {
          const target = views.find(({ record }) => record.id === move.to)!;
          expect([target.isHealthy, target.record.isDraining, move.to === move.from]).to.deep.equal([true, false, false]); // prettier-ignore
          expect(target.record.role).to.not.equal('prefill');
          const moved = views.find(({ record }) => record.id === move.from)!.load!.requests.find(({ id }) => id === move.request)!; // prettier-ignore
          expect(moved.isMovable).to.equal(true);
          areRunning &&= moved.isRunning; // behind one that waits another may wait that wants more
          views = views.map((view) => {
            const { record, isHealthy, load } = view;
            const rest = load!.requests.filter(({ id }) => id !== move.request);
            const requests = record.id === move.to ? [...rest, { ...moved, isRunning: true }] : rest;
            return { ...site(record.id, requests, record), isHealthy };
          });
          expect(views.find(({ record }) => record.id === move.to)!.load!.numUsedBlocks).to.be.at.most(100);
        }
        if (areRunning && moves.every(({ reason }) => reason === 'balance')) expect(poorest()).to.be.at.least(before);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});
