/** Asks for the API key. */
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Connection } from '../state/live_client.js';

/** Opens whenever the server wants a key. */
export function KeyDialog(props: { readonly connection: Connection; readonly onKey: (key: string) => void }): VNode {
  const { connection, onKey } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const isNeeded = connection.kind === 'needs_key';
  useEffect(() => {
    if (isNeeded && dialog.current?.open === false) dialog.current.showModal();
    if (!isNeeded) dialog.current?.close();
  }, [isNeeded]);
  const submit = (event: Event): void => {
    event.preventDefault();
    const key = input.current!.value.trim();
    input.current!.value = '';
    if (key === '') return;
    dialog.current!.close();
    onKey(key);
  };
  return (
    <dialog ref={dialog} aria-labelledby="key-title">
      <form class="key" onSubmit={submit}>
        <h2 id="key-title">API key</h2>
        <p>The server answers those who have its key. It stays in this tab, until the tab is closed.</p>
        {isNeeded && connection.isWrong && (
          <p class="error" role="alert">
            The server doesn’t know that key.
          </p>
        )}
        <label for="api-key">Key</label>
        <input id="api-key" ref={input} type="password" autocomplete="off" spellcheck={false} required />
        <button class="primary" type="submit">
          Connect
        </button>
      </form>
    </dialog>
  );
}
