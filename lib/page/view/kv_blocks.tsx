/** Which keys and values lie where, and how often they are found. */
import type { VNode } from 'preact';
import { isThere, type RankState } from '../../head/observing/rank_states.js';
import type { LiveNow, LivePlace, LiveRank } from '../../server/live/messages.js';
import { blocksText, count, percent, plural, tierText } from '../state/numbers.js';

/** A line per rank, with what lies below its cache, and how many prompt tokens were found in each place. */
export function KvBlocks({ now }: { readonly now: LiveNow }): VNode {
  const { ranks, numPrefixQueries: numQueries, numPrefixHits: numHits, places } = now;
  return (
    <>
      <table class="list">
        <caption class="hidden">Requests and KV blocks of each rank</caption>
        <thead>
          <tr>
            <th scope="col">Rank</th>
            <th scope="col" class="number">
              Running
            </th>
            <th scope="col" class="wide">
              Blocks
            </th>
          </tr>
        </thead>
        <tbody>
          {ranks.map((rank) => (
            <RankRow key={rank.rank} rank={rank} />
          ))}
        </tbody>
      </table>
      {places.length > 0 && <Found places={[{ place: 'cache', numQueries, numHits }, ...places]} />}
    </>
  );
}

function RankRow({ rank: of }: { readonly rank: LiveRank }): VNode {
  const { rank, state, numRunning, numUsedBlocks, numCachedBlocks, numPinnedBlocks, numKvBlocks, tiers } = of;
  const pinned = numPinnedBlocks === 0 ? '' : `, ${count(numPinnedBlocks)} pinned`;
  return (
    <tr data-rank={rank}>
      <th scope="row">{rank}</th>
      <td class="number">{isThere(state) ? count(numRunning) : state}</td>
      <td class="wide">
        {isThere(state) && (
          <>
            <Meter
              share={numUsedBlocks / numKvBlocks}
              text={blocksText(numUsedBlocks, numCachedBlocks, numKvBlocks) + pinned + MARKS[state]}
            />
            {tiers.map((tier) => (
              <Meter key={tier.tier} share={tier.numBytes / Math.max(tier.maxBytes, 1)} text={tierText(tier)} />
            ))}
          </>
        )}
      </td>
    </tr>
  );
}

/** Behind the blocks of a rank that is there. */
const MARKS: Readonly<Record<RankState, string>> = {
  ...{ present: '', leaving: ', leaving', demoted: ', slow: holds no experts', lost: '', left: '' },
};

type Place = Omit<LivePlace, 'place'> & { readonly place: LivePlace['place'] | 'cache' };

/** Of prompt tokens, in the order in which they are looked for: each place is asked for what those before it didn't have. */
function Found({ places }: { readonly places: readonly Place[] }): VNode {
  const texts = places.map(({ place, numQueries, numHits }) => {
    const share = numQueries === 0 ? null : numHits / numQueries;
    return `${place} ${percent(share)} of ${plural(numQueries, 'token')}`;
  });
  return <p class="help" data-figure="found">{`Found: ${texts.join(', ')}.`}</p>;
}

/** A share as a bar, with the share in percents, and what it is a share of. */
export function Meter({ share, text }: { readonly share: number; readonly text: string }): VNode {
  return (
    <div class="meter">
      <i aria-hidden="true">
        <i style={{ width: `${100 * share}%` }} />
      </i>
      <span>{`${percent(share)}, ${text}`}</span>
    </div>
  );
}
