/** The server's feed as a component has it. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { LiveClient, type Connection } from '../state/live_client.js';
import { nextPageState, type PageState } from '../state/page_state.js';
import { storedKey } from './api_key.js';

/** What is known, how the connection is, and how to try again at once. */
export interface LiveFeed {
  /** Null before the first snapshot. */
  readonly state: PageState | null;
  readonly connection: Connection;
  readonly retry: () => void;
}

/** Follows the feed while the page is visible. */
export function useLiveFeed(): LiveFeed {
  const [state, setState] = useState<PageState | null>(null);
  const [connection, setConnection] = useState<Connection>({ kind: 'connecting' });
  const client = useMemo(
    () =>
      new LiveClient({
        fetch: window.fetch.bind(window),
        key: storedKey,
        onConnection: setConnection,
        onMessage: (message) => setState((known) => nextPageState(known, message)),
      }),
    [],
  );
  useEffect(() => {
    const follow = (): void => (document.hidden ? client.stop() : client.start());
    document.addEventListener('visibilitychange', follow);
    follow();
    return () => {
      document.removeEventListener('visibilitychange', follow);
      client.stop();
    };
  }, [client]);
  return { state, connection, retry: () => client.start() };
}
