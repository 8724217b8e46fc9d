/** Runs a prompt, and shows which experts its tokens took. Why it keeps its place: docs/decisions/page.md#nothing-moves-away-under-the-pointer */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { runPrompt } from '../state/completion.js';
import { PageError } from '../state/errors.js';
import type { LiveState } from '../state/live_state.js';
import { plural } from '../state/numbers.js';
import type { TokenTrace } from '../state/token_trace.js';
import { storedKey } from './api_key.js';
import type { ExpertChoice } from './experts.js';
import { Legend, Tokens } from './tokens.js';

interface PromptProps extends ExpertChoice {
  readonly state: LiveState;
  readonly setTrace: (trace: TokenTrace) => void;
}

/** Of one run: the page draws every token anew with each that comes. */
const MAX_TOKENS = 512;

/** The box, and the tokens of its last run. */
export function Prompt({ state, setTrace, ...choice }: PromptProps): VNode {
  const [prompt, setPrompt] = useState('Once upon a time');
  const [maxTokens, setMaxTokens] = useState(64);
  const [temperature, setTemperature] = useState(0);
  const [outcome, setOutcome] = useState('');
  const [running, setRunning] = useState<AbortController | null>(null);
  const last = useRef<AbortController | null>(null);
  const card = useRef<HTMLDivElement>(null);
  /** While a run goes on: the tokens before it are gone, but the page gets no shorter, which could scroll it. */
  const [minHeightPx, setMinHeightPx] = useState(0);
  useEffect(() => () => last.current?.abort(), []);
  const { model } = state;
  const run = async (): Promise<void> => {
    const controller = new AbortController();
    last.current = controller;
    setRunning(controller);
    setMinHeightPx(card.current!.offsetHeight);
    setOutcome('Running');
    const call = { fetch: window.fetch.bind(window), key: storedKey(), signal: controller.signal };
    try {
      for await (const { trace, finishReason } of runPrompt(
        { model: model.name, prompt, maxTokens, temperature },
        call,
      )) {
        setTrace(trace);
        if (finishReason !== null) setOutcome(outcomeOf(trace, finishReason));
      }
    } catch (error) {
      setOutcome(controller.signal.aborted ? 'Stopped' : `It failed: ${reasonOf(error)}`);
    } finally {
      setRunning(null);
      setMinHeightPx(0);
    }
  };
  return (
    <section id="prompt" aria-labelledby="prompt-title">
      <h2 id="prompt-title">Prompt</h2>
      <div class="card" ref={card} style={{ minHeight: `${minHeightPx}px` }}>
        <form
          class="ask"
          onSubmit={(event) => {
            event.preventDefault();
            if (running === null) void run();
          }}
        >
          <label class="grow">
            Text to continue
            <textarea rows={1} value={prompt} required onInput={(event) => setPrompt(event.currentTarget.value)} />
          </label>
          <label>
            Tokens
            <input
              type="number"
              min={1}
              max={Math.min(MAX_TOKENS, model.contextLength)}
              value={maxTokens}
              onInput={(event) => setMaxTokens(event.currentTarget.valueAsNumber)}
            />
          </label>
          <label>
            Temperature
            <input
              type="number"
              min={0}
              max={2}
              step={0.1}
              value={temperature}
              onInput={(event) => setTemperature(event.currentTarget.valueAsNumber)}
            />
          </label>
          <label>
            Layer
            <select value={choice.layer} onChange={(event) => choice.chooseLayer(Number(event.currentTarget.value))}>
              {model.moeLayers.map((layer, i) => (
                <option key={layer} value={i}>
                  {layer}
                </option>
              ))}
            </select>
          </label>
          {running === null ? (
            // With a key: an element that became the other one within its click would run again.
            <button key="run" class="primary" type="submit">
              Run
            </button>
          ) : (
            <button key="stop" type="button" onClick={() => running.abort()}>
              Stop
            </button>
          )}
        </form>
        <p class="outcome" role="status">
          {outcome}
        </p>
        <Tokens {...choice} moeLayers={model.moeLayers} />
        <Legend {...choice} moeLayers={model.moeLayers} />
      </div>
    </section>
  );
}

function outcomeOf({ tokens }: TokenTrace, finishReason: string): string {
  const numOutput = tokens.filter(({ isPrompt }) => !isPrompt).length;
  const end = finishReason === 'length' ? 'as many as were asked for' : `it ended by itself (${finishReason})`;
  return `${plural(numOutput, 'token')}: ${end}`;
}

const reasonOf = (error: unknown): string => (error instanceof PageError ? error.text : 'the answer can’t be read');
