/** Tokens in the colours of their experts, and which expert has which colour. */
import type { VNode } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { count, plural } from '../state/numbers.js';
import { hueOf } from '../state/palette.js';
import { takes, type TracedToken } from '../state/token_trace.js';
import type { ExpertChoice } from './experts.js';

interface TokensProps extends ExpertChoice {
  readonly moeLayers: readonly number[];
}

/** One stop of the Tab key: arrow keys go from token to token. */
export function Tokens({ trace, layer, selected, choose, moeLayers }: TokensProps): VNode | null {
  const box = useRef<HTMLDivElement>(null);
  const [current, setCurrent] = useState(0);
  const { tokens } = trace;
  if (tokens.length === 0) return null;
  const at = Math.min(current, tokens.length - 1);
  const go = (to: number): void => {
    setCurrent(to);
    (box.current!.children[to] as HTMLElement).focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(Math.min(Math.max(to, 0), tokens.length - 1));
  };
  return (
    <>
      <div
        class="tokens"
        ref={box}
        role="group"
        aria-label={`Tokens, by their experts in layer ${moeLayers[layer]!}`}
        onKeyDown={onKeyDown}
      >
        {tokens.map((token, i) => (
          <Token
            key={i}
            token={token}
            layer={layer}
            isCurrent={i === at}
            isTaking={selected === null ? null : takes(token, selected)}
            onFocus={() => setCurrent(i)}
            onClick={() => {
              const expert = token.experts?.[layer]?.[0];
              if (expert !== undefined) choose(expert === selected?.expert ? null : { layer, expert });
            }}
          />
        ))}
      </div>
      <p class="details">{tokenText(tokens[at]!, layer, moeLayers)}</p>
    </>
  );
}

interface TokenProps {
  readonly token: TracedToken;
  readonly layer: number;
  readonly isCurrent: boolean;
  /** The selected expert; null: none is. */
  readonly isTaking: boolean | null;
  readonly onFocus: () => void;
  readonly onClick: () => void;
}

function Token({ token, layer, isCurrent, isTaking, onFocus, onClick }: TokenProps): VNode {
  const first = token.experts?.[layer]?.[0];
  const isColored = first !== undefined && isTaking !== false;
  const names = [
    'token',
    token.isPrompt ? 'prompt' : 'output',
    isColored ? 'colored' : '',
    isTaking === true ? 'taking' : '',
  ];
  return (
    <button
      type="button"
      class={names.filter((name) => name !== '').join(' ')}
      style={isColored ? { '--hue': `${hueOf(first)}` } : {}}
      tabIndex={isCurrent ? 0 : -1}
      onFocus={onFocus}
      onPointerEnter={onFocus}
      onClick={onClick}
    >
      <span class="text">{shown(token.text)}</span>
      <span class="hidden">{first === undefined ? ', no expert' : ', expert'}</span>
      <span class="by" aria-hidden={first === undefined}>
        {first ?? '·'}
      </span>
      {isTaking === true && <span class="hidden">, took the selected expert</span>}
    </button>
  );
}

/** Experts of the layer as buttons, with how many tokens have each as their first. */
export function Legend({ trace, layer, selected, choose, moeLayers }: TokensProps): VNode | null {
  const choices = trace.firstChoices(layer);
  if (choices.length === 0) return null;
  const isSelected = (expert: number): boolean => selected?.layer === layer && selected.expert === expert;
  return (
    <div class="experts-legend" role="group" aria-label={`Experts of layer ${moeLayers[layer]!}`}>
      {choices.map(({ expert, numTokens }) => (
        <button
          key={expert}
          type="button"
          class="expert colored"
          style={{ '--hue': `${hueOf(expert)}` }}
          aria-pressed={isSelected(expert)}
          onClick={() => choose(isSelected(expert) ? null : { layer, expert })}
        >
          <span class="hidden">Expert</span> <b>{expert}</b> <span class="hidden">is the first of</span>{' '}
          {count(numTokens)} <span class="hidden">{numTokens === 1 ? 'token' : 'tokens'}</span>
        </button>
      ))}
      {selected !== null && (
        <span
          class="help"
          role="status"
        >{`${plural(trace.numTaking(selected), 'token')} took expert ${selected.expert} of layer ${moeLayers[selected.layer]!}`}</span>
      )}
    </div>
  );
}

/** Line ends are seen; text that isn't complete yet is a square. */
const shown = (text: string): string => (text === '' ? '▫' : text.replaceAll('\n', '⏎'));

function tokenText({ text, isPrompt, experts }: TracedToken, layer: number, moeLayers: readonly number[]): string {
  const name = `“${shown(text)}”${isPrompt ? ' of the prompt' : ''}`;
  if (experts === null) return `${name}: not computed here (the last token never is, and a cached prompt is not again)`;
  return `${name}: layer ${moeLayers[layer]!} sent it to experts ${experts[layer]!.join(', ')}`;
}
