/** Heads whose ranks read from no others. */
import type { RequestsParts } from '../../../lib/head/requests.js';

export const NO_FETCHES: RequestsParts['fetches'] = {
  ofRanks: { bring: () => Promise.resolve(0) },
  ofLoans: { bring: () => Promise.resolve(0) },
};
