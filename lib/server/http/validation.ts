/** Bodies and queries as their zod schemas have them, and what is wrong with one in words that name the field. */
import type { ZodType, core } from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';

/** A check in the form that the web framework takes. */
export function checkedBy(schema: ZodType): (data: unknown) => { readonly value: unknown } | { readonly error: Error } {
  return (data) => {
    const result = schema.safeParse(data, { reportInput: true });
    return result.success ? { value: result.data } : { error: invalidValue(result.error.issues[0]!) };
  };
}

function invalidValue(issue: core.$ZodIssue): ApiError {
  const { path, message } = issue;
  const param = path.map(String).join('.');
  if (issue.code === 'custom' && issue.params?.isUnsupported === true)
    return new ApiError('UNSUPPORTED', message, { param });
  if (param === '')
    return new ApiError('INVALID_REQUEST', `the body ${found(issue.input ?? undefined)}; give a JSON object`);
  return new ApiError('INVALID_VALUE', `${param} ${found(issue.input)}; ${message}`, { param });
}

const found = (input: unknown): string => (input === undefined ? 'is missing' : `is ${shown(input)}`);
