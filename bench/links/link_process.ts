/** Links in a process of their own: whoever measures is not to carry the bytes, too. */
import { obey } from '../base/helper_process.js';
import { FineClock } from './fine_clock.js';
import { Lane } from './lane.js';
import { LinkPort } from './link_port.js';
import type { LinkNews, LinkOrder } from './links.js';

const clock = new FineClock();

obey(async ({ target, limits }: LinkOrder): Promise<LinkNews> => {
  const { address } = await LinkPort.open(target, { sent: new Lane(limits), got: new Lane(limits), clock });
  return { address };
});
