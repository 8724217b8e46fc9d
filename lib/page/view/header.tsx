/** What is served, how the connection is, and where to find what. */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Connection } from '../state/live_client.js';
import type { ClusterSnapshot } from '../../cluster/live/messages.js';
import type { LiveState } from '../state/live_state.js';
import type { PageState } from '../state/page_state.js';
import { isThere } from '../../head/observing/rank_states.js';
import { plural } from '../state/numbers.js';
import { THEMES, type Theme, type ThemeState } from './theme.js';

const SECTIONS = {
  instance: { serving: 'Serving', experts: 'Experts', prompt: 'Prompt', ranks: 'Ranks', schedule: 'Scheduler' },
  cluster: { routing: 'Routing', instances: 'Instances', events: 'What happened' },
} as const;
const THEME_NAMES: Readonly<Record<Theme, string>> = { auto: 'System', light: 'Light', dark: 'Dark' };

interface HeaderProps {
  readonly state: PageState | null;
  readonly connection: Connection;
  readonly retry: () => void;
  readonly theme: ThemeState;
}

/** The head of the page. */
export function Header({ state, connection, retry, theme }: HeaderProps): VNode {
  return (
    <header class="top">
      <div class="bar">
        <h1>
          <Mark />
          expertwire
        </h1>
        {state?.kind === 'instance' && <p class="what">{whatOf(state.instance)}</p>}
        {state?.kind === 'cluster' && <p class="what">{clusterOf(state.cluster)}</p>}
        <Status {...{ connection, retry }} />
        <label class="theme">
          <span class="hidden">Colours</span>
          <select value={theme.theme} onChange={(event) => theme.choose(event.currentTarget.value as Theme)}>
            {THEMES.map((each) => (
              <option key={each} value={each}>
                {THEME_NAMES[each]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {state !== null && (
        <nav aria-label="Sections">
          {Object.entries(SECTIONS[state.kind]).map(([id, name]) => (
            <a key={id} href={`#${id}`}>
              {name}
            </a>
          ))}
        </nav>
      )}
    </header>
  );
}

function whatOf({ model, now }: LiveState): VNode {
  const { name, moeLayers, numExperts, numExpertsByLayer, numTopk, backend } = model;
  const experts = numExpertsByLayer ? `${Math.min(...numExpertsByLayer)}–${numExperts}` : numExperts;
  const numRanks = now.ranks.filter(({ state }) => isThere(state)).length;
  const shape = `${moeLayers.length} × ${experts} experts, ${numTopk} per token`;
  return (
    <>
      <strong>{name}</strong> <span>{shape}</span> <span>{`${plural(numRanks, 'rank')}, ${backend}`}</span>
    </>
  );
}

function clusterOf({ router, now }: ClusterSnapshot): VNode {
  return (
    <>
      <strong>{`cluster ${router.name}`}</strong> <span>{plural(now.numInstances, 'instance')}</span>{' '}
      <span>{`policy ${router.policy}`}</span>
    </>
  );
}

/** Two by two experts, one of them busy. */
function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true">
      <rect width="16" height="16" rx="3" fill="#440154" />
      <rect x="3" y="3" width="4" height="4" fill="#fde725" />
      <rect x="9" y="3" width="4" height="4" fill="#31688e" />
      <rect x="3" y="9" width="4" height="4" fill="#35b779" />
      <rect x="9" y="9" width="4" height="4" fill="#26828e" />
    </svg>
  );
}

const STATUS: Readonly<Record<Connection['kind'], string>> = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Disconnected',
  needs_key: 'Needs a key',
  paused: 'Paused',
};

function Status({ connection, retry }: Pick<HeaderProps, 'connection' | 'retry'>): VNode {
  const isLost = connection.kind === 'lost' || connection.kind === 'needs_key';
  return (
    <div class={`status ${connection.kind}`}>
      <span role="status">
        <i class="dot" aria-hidden="true" />
        {STATUS[connection.kind]}
        {connection.kind === 'lost' && <span class="reason">{`: ${connection.reason}`}</span>}
      </span>
      {connection.kind === 'lost' && <Countdown untilMs={connection.retryAtMs} />}
      {isLost && (
        <button type="button" onClick={retry}>
          Try now
        </button>
      )}
    </div>
  );
}

/** Not read out each second. */
function Countdown({ untilMs }: { readonly untilMs: number }): VNode {
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  return <span aria-hidden="true">{`again in ${Math.max(Math.ceil((untilMs - nowMs) / 1000), 0)} s`}</span>;
}
