/** What is said of ranks that are slow, and of links over which rows come late. */

/** How fast one rank is, beside the median one. Paces: times the median rank's time for the same work, 1 = as fast; null: nobody knows yet. */
export interface RankSpeed {
  /** Of all its work. */
  readonly pace: number | null;
  /** Of experts' work. */
  readonly experts: number | null;
  /** Of the work for its own tokens: attention, gates, sampling. */
  readonly own: number | null;
  /** What it is taken to compute in the same time: planners and balanced replica choices give it as much of the load. */
  readonly capacity: number;
  /** It fell behind `parallel.slow_factor`. */
  readonly isSlow: boolean;
  /** Share of the time of the last steps that the others waited for its rows, on average. */
  readonly waitShare: number;
}

/** News of it. */
export type SpeedEvent =
  | {
      /** `slow`: it fell behind; `caught_up`: it no longer is. */
      readonly kind: 'slow' | 'caught_up';
      readonly rank: number;
      readonly speed: RankSpeed;
    }
  /** Rows come late from this rank to that one alone: `share` of the time of the last steps. */
  | { readonly kind: 'late_link'; readonly from: number; readonly to: number; readonly share: number };

/** Told of each. */
export type OnSpeed = (event: SpeedEvent) => void;

/** One line for a log, without its end. */
export function speedText(event: SpeedEvent): string {
  if (event.kind === 'late_link') {
    const { from, to, share } = event;
    return (
      `rank ${to} waits ${percent(share)} of the time for rows of rank ${from}, and others don't: ` +
      'look at the link between them'
    );
  }
  const { rank, speed } = event;
  const { pace, experts, own, waitShare } = speed;
  const parts = [...paceText('experts', experts), ...paceText('its own tokens', own)];
  const times = `${(pace ?? 1).toFixed(1)} times the median rank's time for the same work (${parts.join(', ')})`;
  return event.kind === 'slow'
    ? `rank ${rank} is slow: it takes ${times}, and the others wait ${percent(waitShare)} of the time for it; look at what else runs on its machine`
    : `rank ${rank} has caught up: it takes ${times}`;
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const paceText = (what: string, pace: number | null): string[] => (pace === null ? [] : [`${what} ${pace.toFixed(1)}`]);
