/** A router in a process of its own, which tells what it took. */
import { randomUUID } from 'node:crypto';
import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import { LocalBus } from '../../../lib/cluster/bus/local_bus.js';
import { createRouter } from '../../../lib/cluster/router/create_router.js';
import { loadConfig, type PartialConfig } from '../../../lib/config/load.js';
import { obey } from '../../base/helper_process.js';
import type { RouterNews, RouterOrder } from './orders.js';

type RouteOrder = Extract<RouterOrder, { readonly kind: 'route' }>;

let url = '';

obey(async (order: RouterOrder): Promise<RouterNews> => {
  if (order.kind === 'route') url = await route(order);
  const { user, system } = process.cpuUsage();
  return { url, cpuMs: (user + system) / 1000 };
});

async function route({ upstream, as: kind, model, policy }: RouteOrder): Promise<string> {
  const flags = { model, router: { port: 0, policy } } as PartialConfig;
  const bus = new LocalBus();
  const own = { fingerprint: 'played', numKvBlocks: 4096, maxModelLen: 8192 };
  const foreign = { fingerprint: null, numKvBlocks: 0, maxModelLen: 0 };
  const record: InstanceRecord = {
    ...{ id: 'played', incarnation: randomUUID(), url: upstream, kind, role: 'mixed', isDraining: false },
    ...{
      model: 'moe-7m',
      numRanks: 1,
      blockSize: 16,
      sharing: null,
      isPooled: false,
      ...(kind === 'own' ? own : foreign),
    },
  };
  await bus.join(record, { wanted: () => undefined, trouble: () => undefined });
  return (await createRouter({ config: await loadConfig({ flags }), bus })).listen();
}
