/** What the scheduler did in the last steps. */
import type { VNode } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { LIVE_LIMITS, type LiveStep } from '../../server/live/messages.js';
import type { LiveState } from '../state/live_state.js';
import { count, duration } from '../state/numbers.js';
import { useWidth } from './width.js';

/** With more ranks, one lane has the sums of all. */
const MAX_LANES = 12;
const LANE_PX = 50;
/** Where bars of a lane stand, counted from its top; marks are below. */
const BASE_PX = 38;
/** On each side of a bar. */
const GAP_PX = 1;

/** A lane per rank: a bar for each step, of tokens of prompts on generated tokens, and marks where sequences came or gave way. */
export function Schedule({ state }: { readonly state: LiveState }): VNode {
  const { steps, now } = state;
  const [isOpen, setOpen] = useState(false);
  const lanes = lanesOf(steps, now.ranks.length);
  return (
    <section id="schedule" aria-labelledby="schedule-title">
      <h2 id="schedule-title">Scheduler</h2>
      <div class="card">
        <h3>{`The last ${LIVE_LIMITS.numSteps} steps`}</h3>
        <ul class="legend">
          <li>
            <i class="swatch decode" aria-hidden="true" /> generated tokens
          </li>
          <li>
            <i class="swatch prefill" aria-hidden="true" /> prompt tokens
          </li>
          <li>
            <span class="mark-admitted" aria-hidden="true">
              ▲
            </span>{' '}
            admitted
          </li>
          <li>
            <span class="mark-preempted" aria-hidden="true">
              ▼
            </span>{' '}
            gave way
          </li>
        </ul>
        {steps.length === 0 ? <p class="help">No step ran yet.</p> : <Lanes steps={steps} lanes={lanes} />}
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>As a table</summary>
          {isOpen && <StepTable steps={steps} />}
        </details>
      </div>
    </section>
  );
}

interface Lane {
  readonly name: string;
  /** In order of steps. */
  readonly bars: readonly {
    readonly prefill: number;
    readonly decode: number;
    readonly admitted: number;
    readonly preempted: number;
  }[];
}

function lanesOf(steps: readonly LiveStep[], numRanks: number): readonly Lane[] {
  const laneOf = (name: string, of: (perRank: readonly number[]) => number): Lane => ({
    name,
    bars: steps.map(({ numPrefill_R, numDecode_R, numAdmitted_R, numPreempted_R }) => ({
      ...{ prefill: of(numPrefill_R), decode: of(numDecode_R) },
      ...{ admitted: of(numAdmitted_R), preempted: of(numPreempted_R) },
    })),
  });
  if (numRanks > MAX_LANES) return [laneOf('all', sum)];
  return Array.from({ length: numRanks }, (_, rank) => laneOf(`${rank}`, (perRank) => perRank[rank] ?? 0));
}

/** Room for names at the left. */
const LEFT_PX = 48;
/** Of the lane of times, and of the text under it. */
const TIME_PX = 26;
const TEXT_PX = 18;

function Lanes({ steps, lanes }: { readonly steps: readonly LiveStep[]; readonly lanes: readonly Lane[] }): VNode {
  const box = useRef<HTMLDivElement>(null);
  const width = Math.max(useWidth(box), 320);
  const most = Math.max(...lanes.flatMap(({ bars }) => bars.map(({ prefill, decode }) => prefill + decode)), 1);
  const slowest = Math.max(...steps.map(({ stepMs }) => stepMs), 1e-9);
  const top = LANE_PX * lanes.length + 6;
  const stepPx = (width - LEFT_PX) / LIVE_LIMITS.numSteps;
  const xOf = (i: number): number => LEFT_PX + stepPx * (LIVE_LIMITS.numSteps - steps.length + i);
  const last = steps.at(-1)!;
  return (
    <div ref={box}>
      <svg class="lanes" width={width} height={top + TIME_PX + TEXT_PX} role="img" aria-label={summaryOf(steps, most)}>
        {lanes.map(({ name, bars }, lane) => (
          <g key={name} transform={`translate(0 ${LANE_PX * lane})`}>
            <text x="0" y={BASE_PX}>
              {name === 'all' ? 'all' : `rank ${name}`}
            </text>
            <line class="base" x1={LEFT_PX} x2={width} y1={BASE_PX + 0.5} y2={BASE_PX + 0.5} />
            {bars.map((bar, i) => (
              <Bar key={steps[i]!.step} x={xOf(i)} width={stepPx} scale={(BASE_PX - 6) / most} {...bar} />
            ))}
          </g>
        ))}
        <text x="0" y={top + TIME_PX}>
          time
        </text>
        {steps.map(({ step, stepMs }, i) => (
          <TimeBar key={step} x={xOf(i)} width={stepPx} base={top + TIME_PX} height={(TIME_PX * stepMs) / slowest}>
            {`step ${step}: ${duration(stepMs)}`}
          </TimeBar>
        ))}
        <text class="end" x={width} y={top + TIME_PX + TEXT_PX - 4}>
          {`step ${last.step}, ${duration(last.stepMs)}`}
        </text>
      </svg>
    </div>
  );
}

interface BarPlace {
  readonly x: number;
  /** With the gap. */
  readonly width: number;
}

interface TimeBarProps extends BarPlace {
  readonly base: number;
  readonly height: number;
  readonly children: string;
}

function TimeBar({ x, width, base, height, children }: TimeBarProps): VNode {
  return (
    <rect class="time" x={x + GAP_PX} width={width - 2 * GAP_PX} y={base - height} height={height}>
      <title>{children}</title>
    </rect>
  );
}

function Bar(bar: Lane['bars'][number] & BarPlace & { readonly scale: number }): VNode {
  const { x, width, scale, prefill, decode, admitted, preempted } = bar;
  // Few generated tokens beside a long prompt are seen too.
  const decodePx = decode === 0 ? 0 : Math.max(decode * scale, 2);
  const prefillPx = prefill * scale;
  const place = { x: x + GAP_PX, width: width - 2 * GAP_PX };
  const middle = x + width / 2;
  return (
    <>
      {decode > 0 && <rect class="decode" {...place} y={BASE_PX - decodePx} height={decodePx} />}
      {prefill > 0 && <rect class="prefill" {...place} y={BASE_PX - decodePx - prefillPx} height={prefillPx} />}
      {admitted > 0 && <path class="admitted" d={`M${middle - 4} ${BASE_PX + 9}h8l-4 -6z`} />}
      {preempted > 0 && <path class="preempted" d={`M${middle - 4} ${BASE_PX + 3}h8l-4 6z`} />}
    </>
  );
}

function summaryOf(steps: readonly LiveStep[], most: number): string {
  const of = (key: 'numPrefill_R' | 'numDecode_R' | 'numAdmitted_R' | 'numPreempted_R'): string =>
    count(steps.reduce((total, step) => total + sum(step[key]), 0));
  const tokens = `${of('numDecode_R')} generated tokens and ${of('numPrefill_R')} prompt tokens, at most ${count(most)} on a rank`;
  return `${steps.length} steps: ${tokens}; ${of('numAdmitted_R')} admitted, ${of('numPreempted_R')} gave way`;
}

function StepTable({ steps }: { readonly steps: readonly LiveStep[] }): VNode {
  const perRank = (values: readonly number[]): string => values.map(count).join(' + ');
  const names = ['Step', 'Time', 'Generated', 'Prompt', 'Admitted', 'Gave way'];
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Steps as a table">
      <table class="list">
        <caption class="help">Rank by rank</caption>
        <thead>
          <tr>
            {names.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.toReversed().map((step) => (
            <tr key={step.step}>
              <th scope="row">{step.step}</th>
              <td>{duration(step.stepMs)}</td>
              <td>{perRank(step.numDecode_R)}</td>
              <td>{perRank(step.numPrefill_R)}</td>
              <td>{perRank(step.numAdmitted_R)}</td>
              <td>{perRank(step.numPreempted_R)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
