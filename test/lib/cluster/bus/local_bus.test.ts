import { LocalBus } from '../../../../lib/cluster/bus/local_bus.js';
import { busContract } from '../../../contracts/bus_contract.js';

busContract('local', () => {
  const bus = new LocalBus();
  return Promise.resolve({ connect: () => Promise.resolve(bus), close: () => bus.close() });
});
