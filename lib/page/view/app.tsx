/** The whole page. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ExpertPlace } from '../state/expert_map.js';
import { TokenTrace } from '../state/token_trace.js';
import type { LiveState } from '../state/live_state.js';
import { storeKey } from './api_key.js';
import { Cluster } from './cluster.js';
import { Experts } from './experts.js';
import { Figures } from './figures.js';
import { Header } from './header.js';
import { KeyDialog } from './key_dialog.js';
import { useLiveFeed } from './live_feed.js';
import { Prompt } from './prompt.js';
import { Ranks } from './ranks.js';
import { Schedule } from './schedule.js';
import { Serving } from './serving.js';
import { useTheme } from './theme.js';

/** Header, and what the server told; until then how the connection is. */
export function App(): VNode {
  const theme = useTheme();
  const { state, connection, retry } = useLiveFeed();
  const { isDark } = theme;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Header {...{ state, connection, retry, theme }} />
      <main id="main" tabIndex={-1}>
        {state === null && (
          <p class="empty">
            {connection.kind === 'needs_key' ? 'The server wants an API key.' : 'Waiting for the server …'}
          </p>
        )}
        {state?.kind === 'instance' && <Instance {...{ state: state.instance, isDark }} />}
        {state?.kind === 'cluster' && <Cluster {...{ state: state.cluster, isDark }} />}
      </main>
      <KeyDialog
        connection={connection}
        onKey={(key) => {
          storeKey(key);
          retry();
        }}
      />
    </>
  );
}

/** Figures and all sections of an instance. */
function Instance({ state, isDark }: { readonly state: LiveState; readonly isDark: boolean }): VNode {
  const [selected, select] = useState<ExpertPlace | null>(null);
  const [layer, setLayer] = useState(0);
  const [trace, setTrace] = useState<TokenTrace>(() => TokenTrace.ofPrompt([]));
  const choose = (place: ExpertPlace | null): void => {
    select(place);
    if (place !== null) setLayer(place.layer);
  };
  const chooseLayer = (next: number): void => {
    setLayer(next);
    select(null);
  };
  const choice = { layer, chooseLayer, selected, choose, trace };
  return (
    <>
      <Figures state={state} />
      <Serving {...{ state, isDark, layer }} />
      <Experts {...{ state, isDark, ...choice }} />
      <Prompt {...{ state, ...choice, setTrace }} />
      <Ranks {...{ state, isDark }} />
      <Schedule state={state} />
    </>
  );
}
