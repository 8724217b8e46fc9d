/** How much room the requests of an instance have, as Llumnix counts it. Why: docs/decisions/cluster.md#moves-one-number-says-who-gives-and-who-takes */
import type { MoveReason } from '../../../config/router_schema.js';
import type { RequestLoad } from '../../base/load_report.js';

/** Of an instance's blocks: what is kept free around requests that come before others. */
const HEADROOM = 0.25;

/** What is counted. */
export interface Room {
  readonly numKvBlocks: number;
  /** That sequences hold. */
  readonly numUsedBlocks: number;
  readonly numRunning: number;
  /** Of those that are listed, without what is about to move. */
  readonly requests: readonly RequestLoad[];
  readonly isDraining: boolean;
}

/** Requests with a priority before that of requests which say none. */
export const comesFirst = ({ priority }: RequestLoad): boolean => priority < 0;

/** The one that waits first; undefined: none waits. */
export const firstWaiting = (requests: readonly RequestLoad[]): RequestLoad | undefined =>
  requests.filter(({ isRunning }) => !isRunning).sort((a, b) => a.arrival - b.arrival)[0];

/**
 * Blocks that are free for each running request, virtually: the first waiting one counts as if it held what it lacks (`defragment`), those that come first hold a
 * headroom (`priority`), and who drains has nothing at all.
 */
export function freenessOf(room: Room, reasons: readonly MoveReason[]): number {
  const { numKvBlocks, numUsedBlocks, numRunning, requests, isDraining } = room;
  if (isDraining) return -Infinity;
  const lacked = reasons.includes('defragment') ? (firstWaiting(requests)?.numBlocks ?? 0) : 0;
  const isFirst = reasons.includes('priority') && requests.some((each) => each.isRunning && comesFirst(each));
  const headroom = isFirst ? HEADROOM * numKvBlocks : 0;
  return (numKvBlocks - numUsedBlocks - lacked - headroom) / Math.max(numRunning, 1);
}
