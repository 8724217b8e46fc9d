import { expect } from 'chai';
import { once, EventEmitter } from 'node:events';
import { LocalRanks, type LocalRanksOrders } from '../../../lib/job/local_ranks.js';
import { RankProcess } from '../../../lib/job/rank_process.js';

/** A process that says which place it was given, and runs on. */
const SAYS_ITS_PLACE = `
  process.stdin.once('data', (text) => console.log(JSON.parse(text).place.seat.index));
  setInterval(() => undefined, 1000);
`;

/** Of a machine for three ranks, without a job. */
const ORDERS = {
  order: { head: { host: '127.0.0.1', port: 1 }, secret: '', joinTimeoutMs: 1 },
  places: [0, 1, 2].map((index) => ({ seat: { index, count: 3, startedTogether: 3 } })),
} as unknown as LocalRanksOrders;

describe('ranks of this machine', function () {
  this.timeout(30_000);

  it('that are started later get the places of those that were lost, else the ones that fewest have', async () => {
    const startProcess = (rank: number | null): RankProcess => new RankProcess(rank, ['--eval', SAYS_ITS_PLACE, '--']);
    const ranks = new LocalRanks([0, 1, 2], false, startProcess);
    const said = new EventEmitter();
    const places: string[] = [];
    const sayAll = async (count: number): Promise<void> => {
      while (places.length < count) await once(said, 'place');
    };
    try {
      ranks.begin({ ...ORDERS, onLog: (_rank, line) => said.emit('place', places.push(line)) });
      await sayAll(3);
      expect([...places].sort()).to.deep.equal(['0', '1', '2']);
      ranks.kill(2);
      ranks.start();
      await sayAll(4);
      await ranks.exits[2];
      const spare = ranks.start();
      await sayAll(5);
      ranks.kill(1);
      await ranks.exits[1];
      ranks.start();
      await sayAll(6);
      spare.kill();
      await spare.exit;
      ranks.start();
      await sayAll(7);
      expect(places.slice(3)).to.deep.equal(['2', '0', '1', '0']);
    } finally {
      await ranks.close({ gracefully: false });
    }
  });
});
