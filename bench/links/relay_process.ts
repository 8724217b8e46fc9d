/** All links of a job in a process of their own: whoever measures is not to carry the bytes, too. Ends with who started it. */
import { ControlRelay } from './control_relay.js';
import type { LinkLimits } from './lane.js';
import type { RelayOrder, RelayNews } from './relays.js';

const relay = await ControlRelay.open(JSON.parse(process.argv[2]!) as LinkLimits);

process.on('message', (order: RelayOrder) => {
  switch (order.kind) {
    case 'lead_to':
      return relay.leadTo(order.head);
    case 'cut':
      return relay.cut(...order.between);
    case 'silence':
      return relay.silence(order.from, order.to);
    case 'heal':
      return relay.heal();
  }
});
process.on('disconnect', () => void relay.close());
process.send!({ port: relay.port } satisfies RelayNews);
