/** What happened, the last first. */
import type { VNode } from 'preact';

/** Something that happened. */
interface ToldEvent {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly text: string;
}

/** A list of it. */
export function Events({ events }: { readonly events: readonly ToldEvent[] }): VNode {
  if (events.length === 0) return <p class="help">None so far.</p>;
  return (
    <ol class="events" reversed>
      {events.toReversed().map(({ number, atMs, text }) => (
        <li key={number}>
          <time dateTime={new Date(atMs).toISOString()}>{new Date(atMs).toLocaleTimeString()}</time> {text}
        </li>
      ))}
    </ol>
  );
}
