/** Calls under way, whose end is waited for once. */
import type { Pending } from './all_to_all_contract.js';
import { CommError } from '../../base/errors.js';

/** `finish` runs at the first call of the hook; a second one rejects with INVALID_ARGUMENT. */
export function pendingOf<T>(phase: 'dispatch' | 'combine', finish: () => Promise<T>): Pending<T> {
  let isCalled = false;
  return {
    hook: async () => {
      if (isCalled) {
        throw new CommError('INVALID_ARGUMENT', `the hook of a ${phase} was called twice; keep its first result`, {
          phase,
        });
      }
      isCalled = true;
      return finish();
    },
  };
}
