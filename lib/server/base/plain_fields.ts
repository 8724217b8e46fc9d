/** Fields of bodies that any endpoint may have; null is as good as absent. */
import * as z from 'zod';

const MAX_NAME_CHARS = 128;

/** A number of a range. */
export const number = (min: number, max: number) => {
  const error = `give a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error }).nullish();
};

/** A whole number of a range. */
export const integer = (min: number, max: number = Number.MAX_SAFE_INTEGER) => {
  const error =
    max === Number.MAX_SAFE_INTEGER ? `give a whole number from ${min}` : `give a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).nullish();
};

/** True or false. */
export const flag = () => z.boolean({ error: 'give true or false' }).nullish();

/** A short text. */
export const name = () => {
  const error = `give a text of up to ${MAX_NAME_CHARS} characters`;
  return z.string({ error }).max(MAX_NAME_CHARS, { error }).nullish();
};

/** A list of token ids. */
export const tokenList = (min: number, max: number) => {
  const error = `give a list of ${min} to ${max} token ids`;
  return z.array(z.int({ error }).min(0, { error }), { error }).min(min, { error }).max(max, { error }).nullish();
};
