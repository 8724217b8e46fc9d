/** What ranks hold, and what crosses between them. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { LiveTraffic } from '../../server/live/messages.js';
import type { LiveState } from '../state/live_state.js';
import { byteRate, byteUnit, digits } from '../state/numbers.js';
import { cssOf, inkOn, sequentialColor } from '../state/palette.js';
import { Events } from './events.js';
import { KvBlocks } from './kv_blocks.js';

const KINDS = { both: 'Both', dispatch: 'Dispatch', combine: 'Combine' } as const;
type TrafficKind = keyof typeof KINDS;

/** A table of ranks, the matrix of their traffic, and what happened to them. */
export function Ranks({ state, isDark }: { readonly state: LiveState; readonly isDark: boolean }): VNode {
  const { now, traffic, events } = state;
  return (
    <section id="ranks" aria-labelledby="ranks-title">
      <h2 id="ranks-title">Ranks</h2>
      <div class="pair">
        <div class="card">
          <h3>KV blocks</h3>
          <KvBlocks now={now} />
          <h3>What happened</h3>
          <Events events={events} />
        </div>
        <Traffic {...{ traffic, isDark }} />
      </div>
    </section>
  );
}

interface TrafficProps {
  readonly traffic: LiveTraffic;
  readonly isDark: boolean;
}

function Traffic({ traffic, isDark }: TrafficProps): VNode {
  const [kind, setKind] = useState<TrafficKind>('both');
  const rates = ratesOf(traffic, kind);
  const max = Math.max(...rates.flat(), 1);
  return (
    <div class="card">
      <h3>Bytes between ranks</h3>
      <fieldset class="choices">
        <legend class="hidden">What is counted</legend>
        {Object.entries(KINDS).map(([each, name]) => (
          <label key={each}>
            <input type="radio" name="traffic" checked={each === kind} onChange={() => setKind(each as TrafficKind)} />
            {name}
          </label>
        ))}
      </fieldset>
      {rates.length < 2 ? (
        <p class="help">There is one rank: nothing crosses.</p>
      ) : (
        <Matrix {...{ rates, max, isDark }} />
      )}
    </div>
  );
}

/** Ranks of which a number fits into a cell. */
const MAX_WITH_TEXT = 8;

function Matrix({
  rates,
  max,
  isDark,
}: {
  readonly rates: readonly (readonly number[])[];
  readonly max: number;
  readonly isDark: boolean;
}): VNode {
  const hasText = rates.length <= MAX_WITH_TEXT;
  const unit = byteUnit(max);
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Traffic matrix">
      <table class={hasText ? 'matrix' : 'matrix dense'}>
        <caption class="help">{`${unit.name}; rows send, columns receive.`}</caption>
        <thead>
          <tr>
            <td />
            {rates.map((_, rank) => (
              <th key={rank} scope="col">
                {rank}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rates.map((row, source) => (
            <tr key={source}>
              <th scope="row">{source}</th>
              {row.map((value, rank) => (
                <Cell
                  key={rank}
                  value={source === rank ? null : value}
                  text={digits(value / unit.bytes)}
                  {...{ max, isDark, hasText }}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface CellProps {
  /** Null: a rank and itself. */
  readonly value: number | null;
  /** In the unit of the matrix. */
  readonly text: string;
  readonly max: number;
  readonly isDark: boolean;
  readonly hasText: boolean;
}

function Cell({ value, text, max, isDark, hasText }: CellProps): VNode {
  if (value === null) return <td class="self">{hasText ? '·' : ''}</td>;
  const color = sequentialColor(value / max, isDark);
  return (
    <td style={{ background: cssOf(color), color: inkOn(color) }} title={byteRate(value)}>
      {hasText ? text : <span class="hidden">{text}</span>}
    </td>
  );
}

function ratesOf({ dispatch_RR, combine_RR }: LiveTraffic, kind: TrafficKind): readonly (readonly number[])[] {
  switch (kind) {
    case 'dispatch':
      return dispatch_RR;
    case 'combine':
      return combine_RR;
    case 'both':
      return dispatch_RR.map((row, s) => row.map((bytes, d) => bytes + combine_RR[s]![d]!));
  }
}
