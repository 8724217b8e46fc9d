/** One rank of the benchmark, as a process or a thread. */
import { MeshRank } from './mesh_rank.js';
import type { RankOrders } from '../base/orders.js';
import { serve } from '../base/serve.js';

let rank: MeshRank;

serve<RankOrders>({
  listen: (options) => {
    rank = new MeshRank(options);
    return rank.listen();
  },
  connect: async ({ addresses }) => {
    await rank.connect(addresses);
    return null;
  },
  prepare: (workload) => rank.prepare(workload),
  run: ({ task, iterations }) => rank.run(task, iterations),
  stats: () => rank.stats(),
  timeline: () => rank.timeline(),
});
