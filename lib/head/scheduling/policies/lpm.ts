import { fcfs } from './fcfs.js';
import type { Place, SchedulingPolicy, WaitingView } from '../policy.js';
import { bestPlace } from '../rank_choice.js';

/** So many of those that wait are compared, in order of arrival: looking up prefixes takes time, and a long queue has many. */
const NUM_COMPARED = 64;
/** A request that so many later ones were admitted before goes first, and others wait until there is room for it. */
const MAX_OVERTAKEN = 64;

/**
 * Longest prefix match first: of the requests that there is room for the one with the most tokens in the cache of a rank, so that blocks are used before
 * their room is needed; among equals first come, first served. Once enough others were admitted before a request, it goes first: nobody starves.
 */
export const lpm: SchedulingPolicy = {
  ...fcfs,
  admit(waiting, placesOf) {
    const overdue = waiting.find(({ numOvertaken }) => numOvertaken >= MAX_OVERTAKEN);
    if (overdue !== undefined) return fcfs.admit([overdue], placesOf);
    const [best = null] = waiting
      .slice(0, NUM_COMPARED)
      .flatMap((view) => candidateOf(view, bestPlace(placesOf(view.sequence))))
      .sort((a, b) => b.numCachedTokens - a.numCachedTokens);
    return best && { sequence: best.sequence, rank: best.rank };
  },
};

const candidateOf = ({ sequence }: WaitingView, place: Place | null): (Place & { readonly sequence: number })[] =>
  place === null ? [] : [{ ...place, sequence }];
