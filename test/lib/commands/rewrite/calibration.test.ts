import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';
import { calibrate } from '../../../../lib/commands/rewrite/calibration.js';
import { commandContext } from '../../../kit/processes/command_context.js';

describe('reading a text', () => {
  it('fails as a piece does, while one before it is still read', async () => {
    const failure = new Error('no such piece');
    const engine = {
      score: async ({ tokenIds }: { readonly tokenIds: readonly number[] }): Promise<never> => {
        await wait(tokenIds[0] === 1 ? 1 : 50);
        if (tokenIds[0] === 1) throw failure;
        return undefined as never;
      },
    };
    const unhandled: unknown[] = [];
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (error) => unhandled.push(error));
    try {
      const watch = () => ({ hook: { points: {}, onEvent: () => undefined }, done: () => undefined });
      const reading = calibrate(
        engine,
        [
          [0, 0],
          [1, 1],
        ],
        watch,
        commandContext(),
      );
      expect(await reading.catch((error: unknown) => error)).to.equal(failure);
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of others) process.on('unhandledRejection', listener);
    }
  });
});
