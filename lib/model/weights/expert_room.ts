/** Whether there is memory for experts that a rank takes over from others while it runs. Pure. */
import type { ExpertRoom } from '../../../experts/layer/migration.js';

/** What there is, and what an expert takes of it. */
export interface ExpertRoomOptions {
  readonly eachBytes: number;
  /** That the machine can still give; asked each time. */
  readonly availableBytes: () => number;
  /** Other ranks may take experts from the same memory at the same time. */
  readonly isShared: boolean;
}

/** Of what is available: the rest is for what reading an expert takes besides, and for others. */
const USABLE = 0.9;

/** Where memory is shared, all experts that are to be read must fit, or this rank has its part of what does. */
export function expertRoom({ eachBytes, availableBytes, isShared }: ExpertRoomOptions): ExpertRoom {
  return (numOwn, numAll) => {
    const numFitting = Math.floor((USABLE * availableBytes()) / eachBytes);
    const numWanted = isShared ? numAll : numOwn;
    return numFitting >= numWanted ? numOwn : Math.floor((numFitting * numOwn) / numWanted);
  };
}
