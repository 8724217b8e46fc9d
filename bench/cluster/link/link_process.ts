/** A link in a process of its own: whoever measures is not to carry the bytes, too. */
import { obey } from '../../base/helper_process.js';
import { LimitedLink } from './limited_link.js';
import type { LinkNews, LinkOrder } from './links.js';

obey(async ({ target, bytesPerSecond }: LinkOrder): Promise<LinkNews> => {
  const { address } = await LimitedLink.open(target, bytesPerSecond);
  return { address };
});
