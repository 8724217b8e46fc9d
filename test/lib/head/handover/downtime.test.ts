/** How long nobody computes a request that goes on elsewhere: in steps, since both engines compute others meanwhile. */
import { expect } from 'chai';
import type { LocalEngine } from '../../../kit/engine/local_engine.js';
import { PROMPT } from '../../../kit/engine/masking.js';
import type { SourceCall } from '../../../kit/engine/offered_source.js';
import { StepGate } from '../../../kit/engine/step_gate.js';
import { TwoEngines } from '../../../kit/engine/two_engines.js';
import { tinyModel } from '../../../kit/paths.js';

const LAST_STAGE_BLOCKS = 2;
const BLOCK_SIZE = 4;
const set = [
  ...[`engine.block_size=${BLOCK_SIZE}`, 'engine.prefix_cache=off'],
  ...[`cluster.last_stage_blocks=${LAST_STAGE_BLOCKS}`, 'cluster.max_stages=8'],
];
/** Of keys and values of one token: layers, heads, floats. */
const TOKEN_BYTES = 768;

/** Something else runs, until `act` is over. */
async function beside(engines: readonly LocalEngine[], act: () => Promise<void>): Promise<void> {
  const enough = new AbortController();
  const other = { promptTokenIds: PROMPT.slice(0, 5), maxNewTokens: 250, ignoreEos: true };
  const busy = engines.map(async ({ engine }) => {
    const events = engine.generate(other, enough.signal);
    while ((await events.next()).done !== true);
  });
  const ended = Promise.allSettled(busy);
  await act();
  enough.abort();
  await ended;
}

describe('a live move', () => {
  for (const length of [16, 64, 160]) {
    it(`of ${length} tokens waits for no step of its source but those that were begun, and for those of its target alike`, async () => {
      const [from, to] = [new StepGate(), new StepGate()];
      const engines = [
        { numRanks: 1, set, observer: from },
        { numRanks: 1, set, observer: to },
      ] as const;
      await TwoEngines.use(tinyModel('tiny-qwen3-moe'), engines, async (two) => {
        const promptTokenIds = Array.from({ length }, (_, i) => PROMPT[(i * 7) % PROMPT.length]!);
        const bytes = (): number => two.to.engine.stats().arrivals.pulledBytes;
        let bytesBefore = 0;
        let isOut = false;
        const before = (call: SourceCall): void => {
          if (call === 'finish') {
            bytesBefore = bytes();
            from.closeAfter(2); // one runs, and one is planned
            to.closeAfter(0);
          } else if (call === 'commit') {
            to.open(); // the one that runs ends
            to.closeAfter(2); // the one that is planned, and its own
          }
        };
        two.to.engine.watch({
          request: ({ kind }) => {
            isOut ||= kind === 'arrived';
          },
          step: ({ plans }) => {
            const isLong = plans.some(({ parts }) => parts.some(({ position }) => position >= length));
            if (!isOut || !isLong) return;
            for (const gate of [from, to]) gate.open();
          },
        });
        await beside([two.from, two.to], async () => {
          const { end } = await two.move({ promptTokenIds, maxNewTokens: 90, ignoreEos: true }, { at: 3, before });
          expect(end).to.equal('moved');
        });
        const numLast = (bytes() - bytesBefore) / TOKEN_BYTES;
        expect(numLast, 'tokens that the last pull brought').to.be.within(0, LAST_STAGE_BLOCKS * BLOCK_SIZE + 2);
      });
    });
  }
});
