/** What the process of links is told, and says. */
import type { Address } from '../../comm/ws/door/dial.js';
import { HelperProcess } from '../base/helper_process.js';
import type { LinkLimits } from './lane.js';

/** Opens one. */
export interface LinkOrder {
  readonly target: Address;
  readonly limits: LinkLimits;
}

/** Where it begins. */
export interface LinkNews {
  readonly address: Address;
}

/** Its owner closes it, and all links with it. */
export const startLinks = (signal: AbortSignal): HelperProcess<LinkOrder, LinkNews> =>
  new HelperProcess(new URL('./link_process.js', import.meta.url), signal);
