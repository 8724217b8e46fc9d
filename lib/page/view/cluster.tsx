/** A router and its instances. */
import type { VNode } from 'preact';
import type { ClusterSecond, ClusterSnapshot, LiveInstance } from '../../cluster/live/messages.js';
import { blocksText, count, duration, NOTHING, percent, plural, rate } from '../state/numbers.js';
import { Chart, type ChartLine } from './chart.js';
import { Events } from './events.js';
import { Figure, meanOf } from './figures.js';
import { Meter } from './kv_blocks.js';

type Lines = readonly ChartLine<ClusterSecond>[];

const THROUGHPUT: Lines = [
  { name: 'output', color: '--line-a', of: ({ numOutputTokens }) => numOutputTokens, isArea: true },
  { name: 'prompts', color: '--line-b', of: ({ numPromptTokens }) => numPromptTokens, dash: [6, 3] },
];
const FIRST_TOKEN: Lines = [
  { name: 'p50', color: '--line-a', of: ({ ttftMs }) => ttftMs?.p50 ?? null },
  { name: 'p90', color: '--line-c', of: ({ ttftMs }) => ttftMs?.p90 ?? null, dash: [6, 3] },
  { name: 'p99', color: '--line-b', of: ({ ttftMs }) => ttftMs?.p99 ?? null, dash: [2, 3] },
];
const REQUESTS: Lines = [
  { name: 'running', color: '--line-a', of: ({ numRunning }) => numRunning, isArea: true },
  { name: 'waiting', color: '--line-b', of: ({ numWaiting }) => numWaiting, dash: [6, 3] },
];
const CACHED: Lines = [{ name: 'cached', color: '--line-a', of: cachedShare, isArea: true }];
const KV: Lines = [
  { name: 'fullest', color: '--line-a', of: ({ kvMost }) => kvMost, isArea: true },
  { name: 'emptiest', color: '--line-b', of: ({ kvLeast }) => kvLeast, dash: [6, 3] },
];
const MOVES: Lines = [{ name: 'moved', color: '--line-a', of: ({ numMoves }) => numMoves, isArea: true }];

interface ClusterProps {
  readonly state: ClusterSnapshot;
  readonly isDark: boolean;
}

/** Figures, charts, instances and what happened. */
export function Cluster({ state, isDark }: ClusterProps): VNode {
  const { seconds, now, events } = state;
  const shared = { seconds, isDark };
  return (
    <>
      <RouterFigures state={state} />
      <section id="routing" aria-labelledby="routing-title">
        <h2 id="routing-title">Routing</h2>
        <div class="charts">
          <Chart title="Tokens per second" lines={THROUGHPUT} format={rate} max={1} {...shared} />
          <Chart title="Time to first token" lines={FIRST_TOKEN} format={duration} max={1} {...shared} />
          <Chart title="Requests" lines={REQUESTS} format={count} max={4} {...shared} />
          <Chart title="Prompt tokens that were cached" lines={CACHED} format={percent} max={1} {...shared} />
          <Chart title="KV blocks in use" lines={KV} format={percent} max={1} {...shared} />
          <Chart title="Requests that moved" lines={MOVES} format={count} max={4} {...shared} />
        </div>
      </section>
      <section id="instances" aria-labelledby="instances-title">
        <h2 id="instances-title">Instances</h2>
        <div class="card scroll">
          <Instances instances={now.instances} />
          {now.numInstances > now.instances.length && (
            <p class="help">{`and ${plural(now.numInstances - now.instances.length, 'instance')} more`}</p>
          )}
        </div>
      </section>
      <section id="events" aria-labelledby="events-title">
        <h2 id="events-title">What happened</h2>
        <div class="card">
          <Events events={events} />
        </div>
      </section>
    </>
  );
}

function RouterFigures({ state: { now, seconds } }: Pick<ClusterProps, 'state'>): VNode {
  const sum = (of: (instance: LiveInstance) => number): number =>
    now.instances.reduce((all, each) => all + of(each), 0);
  const numUp = now.instances.filter(({ state }) => state === 'up').length;
  const uses = now.instances.filter(({ numKvBlocks }) => numKvBlocks > 0);
  const fullest = Math.max(...uses.map(({ numUsedBlocks, numKvBlocks }) => numUsedBlocks / numKvBlocks));
  const again = now.numRetries + now.numResumes;
  return (
    <section aria-label="Now">
      <dl class="figures">
        <Figure id="output" name="Output" unit="tokens/s" more={`${count(now.numOutputTokens)} so far`}>
          {rate(meanOf(seconds, ({ numOutputTokens }) => numOutputTokens))}
        </Figure>
        <Figure
          id="requests"
          name="Requests"
          unit="so far"
          more={`${count(now.numRejected)} refused, ${count(again)} tried again`}
        >
          {count(now.numRequests)}
        </Figure>
        <Figure id="ttft" name="First token" unit="p50" more={`p99 ${duration(now.ttftMs?.p99)}`}>
          {duration(now.ttftMs?.p50)}
        </Figure>
        <Figure
          id="running"
          name="Running"
          unit="requests"
          more={`${count(sum(({ numWaiting }) => numWaiting))} waiting`}
        >
          {count(sum(({ numRunning }) => numRunning))}
        </Figure>
        <Figure id="cached" name="Cached" unit="of prompts" more={`${count(now.numCachedTokens)} tokens`}>
          {percent(cachedShare(now))}
        </Figure>
        <Figure id="kv" name="KV blocks" unit="fullest" more={`${plural(now.numMoves, 'request')} moved`}>
          {uses.length === 0 ? NOTHING : percent(fullest)}
        </Figure>
        <Figure id="up" name="Instances" unit="up" more={`of ${count(now.numInstances)}`}>
          {count(numUp)}
        </Figure>
      </dl>
    </section>
  );
}

function Instances({ instances }: { readonly instances: readonly LiveInstance[] }): VNode {
  if (instances.length === 0) return <p class="help">None is there yet.</p>;
  return (
    <table class="list">
      <caption class="hidden">What each instance has in hand</caption>
      <thead>
        <tr>
          <th scope="col">Instance</th>
          <th scope="col">Role</th>
          <th scope="col">State</th>
          {['Ranks', 'Running', 'Waiting', 'To compute', 'Between tokens'].map((name) => (
            <th key={name} scope="col" class="number">
              {name}
            </th>
          ))}
          <th scope="col" class="blocks">
            KV blocks
          </th>
        </tr>
      </thead>
      <tbody>
        {instances.map((instance) => (
          <Row key={instance.id} instance={instance} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ instance }: { readonly instance: LiveInstance }): VNode {
  const { id, role, state, isForeign, numUsedBlocks, numCachedBlocks, numKvBlocks } = instance;
  return (
    <tr data-instance={id}>
      <th scope="row">{id}</th>
      <td>{isForeign ? 'other server' : role}</td>
      <td class={state === 'failing' ? 'error' : ''}>{state}</td>
      <td class="number">{isForeign ? NOTHING : count(instance.numRanks)}</td>
      <td class="number">{count(instance.numRunning)}</td>
      <td class="number">{count(instance.numWaiting)}</td>
      <td class="number">{count(instance.numPrefillTokens)}</td>
      <td class="number">{duration(instance.tbtMs)}</td>
      <td class="blocks">
        {numKvBlocks === 0 ? (
          NOTHING
        ) : (
          <Meter share={numUsedBlocks / numKvBlocks} text={blocksText(numUsedBlocks, numCachedBlocks, numKvBlocks)} />
        )}
      </td>
    </tr>
  );
}

/** Null: there were no prompts. */
function cachedShare(counts: { readonly numPromptTokens: number; readonly numCachedTokens: number }): number | null {
  return counts.numPromptTokens === 0 ? null : counts.numCachedTokens / counts.numPromptTokens;
}
