import { assert } from 'chai';

/** The error that a call throws or a promise rejects with, which must be of the class; fails when there is none. */
export async function errorOf<E extends Error>(type: new (...args: never[]) => E, act: () => unknown): Promise<E> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof type)) throw error;
    return error;
  }
  return assert.fail(`expected ${type.name}, but nothing was thrown`);
}
