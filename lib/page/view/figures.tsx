/** The figures that one looks at first. */
import type { ComponentChildren, VNode } from 'preact';
import type { LiveState } from '../state/live_state.js';
import { count, duration, percent, plural, rate, share } from '../state/numbers.js';

/** Seconds that a rate is the mean of. */
const RATE_SECONDS = 5;

/** Rates, latencies, requests, KV blocks and balance, as they are now. */
export function Figures({ state }: { readonly state: LiveState }): VNode {
  const { now, seconds } = state;
  const numRunning = now.ranks.reduce((sum, rank) => sum + rank.numRunning, 0);
  const kvUse = Math.max(...now.ranks.map(({ numUsedBlocks, numKvBlocks }) => numUsedBlocks / numKvBlocks));
  const balance = seconds.findLast((second) => second.balance !== null)?.balance ?? null;
  const hits = now.numPrefixHits === 0 ? '' : `, ${percent(now.numPrefixHits / now.numPrefixQueries)} cached`;
  const lost = now.ranks.filter(({ state }) => state === 'lost').length;
  return (
    <section aria-label="Now">
      <dl class="figures">
        <Figure id="output" name="Output" unit="tokens/s" more={`${count(now.numOutputTokens)} so far`}>
          {rate(meanOf(seconds, ({ numOutputTokens }) => numOutputTokens))}
        </Figure>
        <Figure id="prompts" name="Prompts" unit="tokens/s" more={`${count(now.numPromptTokens)} so far${hits}`}>
          {rate(meanOf(seconds, ({ numPromptTokens }) => numPromptTokens))}
        </Figure>
        <Figure id="ttft" name="First token" unit="p50" more={`p99 ${duration(now.ttftMs?.p99)}`}>
          {duration(now.ttftMs?.p50)}
        </Figure>
        <Figure id="itl" name="Between tokens" unit="p50" more={`p99 ${duration(now.itlMs?.p99)}`}>
          {duration(now.itlMs?.p50)}
        </Figure>
        <Figure id="running" name="Running" unit="requests" more={`${count(now.numWaiting)} waiting`}>
          {count(numRunning)}
        </Figure>
        <Figure id="kv" name="KV blocks" unit="fullest rank" more={plural(now.numPreempted, 'preemption')}>
          {percent(kvUse)}
        </Figure>
        <Figure
          id="balance"
          name="Balance"
          unit="of ranks"
          more={lost === 0 ? '1 is even' : `${plural(lost, 'rank')} lost`}
        >
          {share(balance)}
        </Figure>
      </dl>
    </section>
  );
}

interface FigureProps {
  readonly id: string;
  readonly name: string;
  readonly unit: string;
  readonly more: string;
  readonly children: ComponentChildren;
}

/** A figure, its unit, and what belongs to it. */
export function Figure({ id, name, unit, more, children }: FigureProps): VNode {
  return (
    <div>
      <dt>
        {name} <span class="unit">{unit}</span>
      </dt>
      <dd>
        <b data-figure={id}>{children}</b>
        <span class="more" data-figure={`${id}-more`}>
          {more}
        </span>
      </dd>
    </div>
  );
}

/** Of the last seconds. */
export function meanOf<S>(seconds: readonly S[], of: (second: S) => number): number {
  const last = seconds.slice(-RATE_SECONDS);
  return last.reduce((sum, second) => sum + of(second), 0) / Math.max(last.length, 1);
}
