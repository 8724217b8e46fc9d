/** One end of the raw baseline, as a process; it loads nothing of the transport. */
import type { RawOrders } from '../base/orders.js';
import { RawRank } from './raw_rank.js';
import { serve } from '../base/serve.js';

let rank: RawRank;

serve<RawOrders>({
  listen: (end) => {
    rank = new RawRank(end);
    return rank.listen();
  },
  connect: async ({ addresses }) => {
    await rank.connect(addresses);
    return null;
  },
  run: ({ task, iterations }) => rank.run(task, iterations),
});
