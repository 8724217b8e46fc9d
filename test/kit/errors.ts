/** Asserting on errors: exactly which, with which fields. */
import { expect } from 'chai';
import { CommError, type CommErrorCode, type CommErrorContext } from '../../comm/index.js';

/** The CommError that `promise` rejects with, which must have this code and these fields. */
export async function rejection(
  promise: Promise<unknown>,
  code: CommErrorCode,
  fields: CommErrorContext = {},
): Promise<CommError> {
  const outcome: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return expectCommError(outcome, code, fields);
}

/** The CommError that `call` throws. */
export function thrown(call: () => unknown, code: CommErrorCode, fields: CommErrorContext = {}): CommError {
  try {
    call();
  } catch (error) {
    return expectCommError(error, code, fields);
  }
  expect.fail(`nothing was thrown, ${code} expected`);
}

function expectCommError(error: unknown, code: CommErrorCode, fields: CommErrorContext): CommError {
  if (!(error instanceof CommError)) expect.fail(`${String(error)} instead of CommError ${code}`);
  expect(error.code, error.message).to.equal(code);
  expect(error.message).to.match(new RegExp(`^${code}: `));
  expect(error).to.include(fields);
  return error;
}
