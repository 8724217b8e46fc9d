/** A handover and a move between instances, in which each part of the cluster dies at every message. `npm test` has a selection: test/lib/cluster/whole/kills.test.ts. */
import { expect } from 'chai';
import { Kills, VICTIMS } from '../kit/cluster/whole/kills.js';
import { SCENES } from '../kit/cluster/whole/scenes.js';

describe('a request that goes on in another instance', function () {
  this.timeout(400_000);

  for (const scene of SCENES) {
    for (const victim of VICTIMS) {
      it(`has the tokens of one, whenever its ${victim} dies: ${scene.name}`, () =>
        Kills.use(scene, async (kills) => {
          const ends = { moved: 0, stayed: 0 };
          let n = 0;
          for (let isReached = true; isReached; n++) {
            const run = await kills.run(victim, n);
            isReached = run.isReached;
            ends[run.hasMoved ? 'moved' : 'stayed']++;
          }
          expect(n, 'messages').to.be.above(12);
          if (victim === 'bus') expect(ends, 'nobody needs the bus for it').to.deep.equal({ moved: n, stayed: 0 });
        }));
    }
  }
});
