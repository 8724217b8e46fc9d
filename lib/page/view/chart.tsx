/** Lines over the last five minutes. */
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { LIVE_LIMITS } from '../../server/live/messages.js';
import { NOTHING, short } from '../state/numbers.js';

/** A second, of whatever. */
interface Second {
  readonly atS: number;
}

/** What a line is of. */
export interface ChartLine<S extends Second> {
  readonly name: string;
  readonly of: (second: S) => number | null;
  /** A colour of the style sheet: `--line-a`, say. */
  readonly color: string;
  /** Lengths of strokes and gaps, so that lines differ without colours. Default: one stroke. */
  readonly dash?: readonly number[];
  /** Filled below. */
  readonly isArea?: boolean;
}

interface ChartProps<S extends Second> {
  readonly title: string;
  readonly lines: readonly ChartLine<S>[];
  readonly seconds: readonly S[];
  /** Values as the legend and axis have them. */
  readonly format: (value: number) => string;
  /** The axis goes at least so far. Default: as far as the values. */
  readonly max?: number;
  readonly isDark: boolean;
}

const HEIGHT_PX = 150;

/** A chart with a legend of what the lines are at its end, or under the pointer. */
export function Chart<S extends Second>({ title, lines, seconds, format, max = 0, isDark }: ChartProps<S>): VNode {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const names = lines.map(({ name }) => name).join();
  useLayoutEffect(() => {
    const made = new uPlot(
      optionsOf(place.current!, lines, format, max, setPointed),
      dataOf(lines, seconds),
      place.current!,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: place.current!.clientWidth, height: HEIGHT_PX }));
    observer.observe(place.current!);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [isDark, names]);
  useEffect(() => plot.current?.setData(dataOf(lines, seconds)), [seconds, names]);
  const second = (pointed === null ? undefined : seconds[pointed]) ?? seconds.at(-1);
  const legend = lines.map(({ name, of }) => ({ name, text: textOf(second && of(second), format) }));
  const end = second === undefined ? 0 : second.atS - (seconds.at(-1)?.atS ?? 0);
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <ul class="legend">
          {legend.map(({ name, text }, i) => (
            <li key={name}>
              <Sample {...lines[i]!} />
              {name} <b>{text}</b>
            </li>
          ))}
          {pointed !== null && <li class="when">{ago(end)}</li>}
        </ul>
      </figcaption>
      <div class="plot" ref={place} role="img" aria-label={`${title}: ${summaryOf(lines, seconds, format)}`} />
    </figure>
  );
}

/** How a line looks. */
function Sample({ color, dash }: Pick<ChartLine<Second>, 'color' | 'dash'>): VNode {
  return (
    <svg class="sample" viewBox="0 0 18 8" aria-hidden="true">
      <line x1="0" x2="18" y1="4" y2="4" stroke={`var(${color})`} stroke-width="2" stroke-dasharray={dash?.join(' ')} />
    </svg>
  );
}

const textOf = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? NOTHING : format(value);

const ago = (seconds: number): string => (seconds === 0 ? 'now' : `${-seconds} s ago`);

function dataOf<S extends Second>(lines: readonly ChartLine<S>[], seconds: readonly S[]): uPlot.AlignedData {
  return [seconds.map(({ atS }) => atS), ...lines.map(({ of }) => seconds.map(of))];
}

/** For those who don't see it. */
function summaryOf<S extends Second>(
  lines: readonly ChartLine<S>[],
  seconds: readonly S[],
  format: (value: number) => string,
): string {
  return lines
    .map(({ name, of }) => {
      const values = seconds.map(of).filter((value) => value !== null);
      if (values.length === 0) return `${name} not measured`;
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return `${name} ${format(values.at(-1)!)}, between ${format(low)} and ${format(high)} in the last minutes`;
    })
    .join('; ');
}

type Line = Omit<ChartLine<Second>, 'of'>;

function optionsOf(
  place: HTMLElement,
  lines: readonly Line[],
  format: (value: number) => string,
  max: number,
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(place);
  const color = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color('--muted'),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width: place.clientWidth,
    height: HEIGHT_PX,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 }, sync: { key: 'seconds' } },
    scales: {
      x: { time: false, range: (_self, _low, high) => [high - LIVE_LIMITS.numSeconds, high] },
      y: { range: (_self, _low, high) => [0, Math.max(high * 1.08, max, 1e-9)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        gap: 6,
        splits: minutes,
        values: (self, splits) => splits.map((at) => minutesAgo(self, at)),
      },
      { ...axis, size: 58, values: (_self, splits) => splits.map((at) => short(format(at))) },
    ],
    series: [{}, ...lines.map((line) => seriesOf(line, color(line.color)))],
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
  };
}

function seriesOf({ name, dash, isArea = false }: Line, stroke: string): uPlot.Series {
  return {
    label: name,
    stroke,
    width: 1.75,
    points: { show: false },
    ...(dash !== undefined && { dash: [...dash] }),
    ...(isArea && { fill: `${stroke}22` }),
  };
}

/** One each minute, counted back from the end. */
function minutes(self: uPlot): number[] {
  const high = self.scales.x!.max ?? 0;
  return [5, 4, 3, 2, 1, 0].map((n) => high - 60 * n);
}

function minutesAgo(self: uPlot, at: number): string {
  const n = Math.round(((self.scales.x!.max ?? 0) - at) / 60);
  return n === 0 ? 'now' : `−${n} min`;
}
