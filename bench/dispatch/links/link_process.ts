/** The process that limits links. */
import { limitLinks } from './limited_links.js';
import type { LinkOrders } from '../base/orders.js';
import { serve } from '../base/serve.js';

serve<LinkOrders>({ limit: ({ mbit, ports }) => limitLinks(mbit, ports) });
