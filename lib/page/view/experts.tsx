/** Which experts work, where they are, and how even that is. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ExpertPlace } from '../state/expert_map.js';
import type { LiveState } from '../state/live_state.js';
import { digits } from '../state/numbers.js';
import { cssOf, sequentialColor } from '../state/palette.js';
import type { TokenTrace } from '../state/token_trace.js';
import { ExpertDetails, ranksText } from './expert_details.js';
import { HeatMap } from './heat_map.js';

/** Which layer and expert are looked at, by all parts of the page. */
export interface ExpertChoice {
  /** The index of a MoE layer. */
  readonly layer: number;
  readonly chooseLayer: (layer: number) => void;
  readonly selected: ExpertPlace | null;
  readonly choose: (place: ExpertPlace | null) => void;
  /** The tokens of the prompt box. */
  readonly trace: TokenTrace;
}

interface ExpertsProps extends ExpertChoice {
  readonly state: LiveState;
  readonly isDark: boolean;
}

const NUM_HOTTEST = 9;

/** The map, what is pointed at, and the most loaded experts. */
export function Experts({ state, isDark, selected, choose, trace }: ExpertsProps): VNode {
  const [cursor, onCursor] = useState<ExpertPlace | null>(null);
  const { experts: map } = state;
  const { moeLayers } = state.model;
  return (
    <section id="experts" aria-labelledby="experts-title">
      <h2 id="experts-title">Experts</h2>
      <div class="map-and-list">
        <div class="card">
          <h3>Load by layer and expert</h3>
          <p id="heat-help" class="help">
            A row per MoE layer, a column per expert, over the last steps. <MarkKey /> Arrow keys move, Enter selects.
          </p>
          <HeatMap {...{ map, moeLayers, isDark, selected, choose, cursor, onCursor }} />
          <div class="under">
            <ExpertDetails {...{ map, moeLayers, trace }} place={cursor ?? selected} />
            <Scale max={map.maxLoad} isDark={isDark} />
          </div>
        </div>
        <div class="card">
          <h3>Most loaded</h3>
          <div class="hottest" style={{ '--rows': `${NUM_HOTTEST}` }}>
            <Hottest {...{ state, selected, choose }} />
          </div>
        </div>
      </div>
    </section>
  );
}

/** What the dots mean. */
function MarkKey(): VNode {
  return (
    <>
      <i class="dot-mark" aria-hidden="true" /> on several ranks.
    </>
  );
}

function Scale({ max, isDark }: { readonly max: number; readonly isDark: boolean }): VNode {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((at) => cssOf(sequentialColor(at, isDark))).join(', ');
  return (
    <p class="scale">
      0 <i style={{ background: `linear-gradient(to right, ${stops})` }} aria-hidden="true" /> {digits(max)} tokens
    </p>
  );
}

function Hottest({ state, selected, choose }: Pick<ExpertsProps, 'state' | 'selected' | 'choose'>): VNode {
  const { experts: map, model } = state;
  const isSelected = ({ layer, expert }: ExpertPlace): boolean =>
    selected?.layer === layer && selected.expert === expert;
  return (
    <table class="list">
      <caption class="hidden">The most loaded experts</caption>
      <thead>
        <tr>
          <th scope="col">Layer</th>
          <th scope="col">Expert</th>
          <th scope="col" class="number">
            × mean
          </th>
          <th scope="col">Ranks</th>
        </tr>
      </thead>
      <tbody>
        {map.hottest(NUM_HOTTEST).map((place) => (
          <tr key={`${place.layer}.${place.expert}`}>
            <td>{model.moeLayers[place.layer]}</td>
            <td>
              <button
                type="button"
                class="expert"
                aria-pressed={isSelected(place)}
                aria-label={`Expert ${place.expert} of layer ${model.moeLayers[place.layer]!}, ${ranksText(map.ranksOf(place))}`}
                onClick={() => choose(isSelected(place) ? null : place)}
              >
                {place.expert}
              </button>
            </td>
            <td class="number">{digits(map.relativeLoadOf(place))}</td>
            <td>{[...new Set(map.ranksOf(place))].join(', ')}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
