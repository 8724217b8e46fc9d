/** What became of an order to scale, in a line for people. Pure. */
import type { ScaleEvent } from './scale_events.js';

/** Null: its end will tell more. Reasons of failures may name paths of the head's machine: logs have them. */
export function scaleText(event: ScaleEvent): string | null {
  if (event.kind === 'begun') return null;
  const { before, after } = event;
  if (event.kind === 'failed')
    return `not scaled (${event.error.code}); ${ranks(after)} ${after === 1 ? 'goes' : 'go'} on`;
  const { joined, left, numMovedExperts, numMovedSequences } = event;
  const parts = [
    before === after ? ranks(after) : `${before} → ${ranks(after)}`,
    ...(joined.length === 0 ? [] : [`joined: ${joined.join(', ')}`]),
    ...(left.length === 0 ? [] : [`left: ${left.join(', ')}`]),
    `moved: ${numMovedExperts} experts, ${numMovedSequences} sequences`,
  ];
  return parts.join('; ');
}

const ranks = (count: number): string => `${count} ${count === 1 ? 'rank' : 'ranks'}`;
