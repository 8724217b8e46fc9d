/** Some of the moments at which test/components/kills.test.ts kills: others with each seed. */
import { expect } from 'chai';
import { uniform } from '../../../../base/philox.js';
import { Kills, VICTIMS } from '../../../kit/cluster/whole/kills.js';
import { SCENES } from '../../../kit/cluster/whole/scenes.js';

/** Another one chooses other moments; one that failed is run again with its seed. */
const SEED = Number(process.env.SOAK_FROM ?? 1);
const NUM_KILLS = 6;

describe(`whoever dies while a request goes on in another instance, seed ${SEED}`, () => {
  for (const [choice, scene] of SCENES.entries()) {
    it(`${scene.name}: it has the tokens of one, and nothing is held`, () =>
      Kills.use(scene, async (kills) => {
        const messages = await kills.messages();
        expect(messages.map(({ kind }) => kind)).to.include.members(['request', 'piece', 'frame']);
        for (let i = 0; i < NUM_KILLS; i++) {
          const victim = VICTIMS[Math.floor(uniform(SEED, choice, 2 * i) * VICTIMS.length)]!;
          await kills.run(victim, Math.floor(uniform(SEED, choice, 2 * i + 1) * messages.length));
        }
      }));
  }
});
