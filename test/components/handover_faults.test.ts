/**
 * A request goes on in another instance, live and behind its prompt, and one rank dies at each moment of it, one after the other: at every order that it gets, before every frame of
 * keys and values that it sends or takes, at every report; or a call between the instances fails. Systematic: `npm run test:cluster`.
 */
import { expect } from 'chai';
import type { Moment } from '../kit/engine/local_rank.js';
import { aloneOf, playScene, type HandoverFault, type Way } from '../kit/engine/handover_faults.js';
import type { SourceCall } from '../kit/engine/offered_source.js';

const MODEL = 'tiny-deepseek-v3';
/** More than there are. */
const MOST = 200;

/** The nth of each kind, from 1. */
const KINDS: Record<string, readonly [HandoverFault['side'], (nth: number) => Moment]> = {
  'the source is told of the lease': ['source', (nth) => ({ kind: 'order', order: 'lease', nth })],
  'the source sends rows': ['source', (nth) => ({ kind: 'kv_sent', nth })],
  'the target is told to pull': ['target', (nth) => ({ kind: 'order', order: 'pull', nth })],
  'the target takes rows': ['target', (nth) => ({ kind: 'kv_arrived', nth })],
  'the target says that it pulled': ['target', (nth) => ({ kind: 'message', message: 'pulled', nth })],
  'the source ends a step': ['source', (nth) => ({ kind: 'message', message: 'result', nth })],
  'the target ends a step': ['target', (nth) => ({ kind: 'message', message: 'result', nth })],
};
/** Of the source. */
const CALLS: Record<Way, readonly SourceCall[]> = { live: ['more', 'finish', 'commit'], streamed: ['more', 'commit'] };

describe('a request that goes on in another instance, at every moment of which a rank dies', function () {
  this.timeout(600_000);
  let expected: readonly number[];
  before(async () => {
    expected = await aloneOf(MODEL);
  });

  for (const way of ['live', 'streamed'] as const satisfies readonly Way[]) {
    for (const [what, [side, momentOf]] of Object.entries(KINDS)) {
      it(`${way}: ${what}`, async () => {
        let numFailed = 0;
        for (let nth = 1; nth < MOST; nth++) {
          const { hasFailed } = await playScene({ model: MODEL, way, fault: { side, at: momentOf(nth) } }, expected);
          if (!hasFailed) break;
          numFailed++;
        }
        expect(numFailed).to.be.within(1, MOST - 2);
      });
    }

    for (const call of CALLS[way]) {
      it(`${way}: ${call} fails`, async () => {
        let numFailed = 0;
        for (let nth = 1; nth < MOST; nth++) {
          let count = 0;
          const before = (each: SourceCall): void => {
            if (each === call && ++count === nth) throw new Error(`${call} failed`);
          };
          await playScene({ model: MODEL, way, source: { before } }, expected);
          if (count < nth) break;
          numFailed++;
        }
        expect(numFailed).to.be.within(1, MOST - 2);
      });
    }
  }
});
