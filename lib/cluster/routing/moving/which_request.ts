import type { MoveChoice } from '../../../config/router_schema.js';
import type { RequestLoad } from '../../base/load_report.js';

/** Requests in the order in which they are given away, those that can move alone: last come, shortest, longest, or of those that wait the first come. */
export function inMoveOrder(requests: readonly RequestLoad[], choice: MoveChoice): readonly RequestLoad[] {
  const movable = requests.filter(({ isMovable, isRunning }) => isMovable && isRunning === (choice !== 'FCW'));
  return movable.sort((a, b) => ORDERS[choice](a, b) || a.arrival - b.arrival);
}

const lengthOf = ({ numPromptTokens, numOutputTokens }: RequestLoad): number => numPromptTokens + numOutputTokens;

const ORDERS: Readonly<Record<MoveChoice, (a: RequestLoad, b: RequestLoad) => number>> = {
  LCR: (a, b) => b.arrival - a.arrival,
  SR: (a, b) => lengthOf(a) - lengthOf(b),
  LR: (a, b) => lengthOf(b) - lengthOf(a),
  FCW: (a, b) => a.arrival - b.arrival,
};
