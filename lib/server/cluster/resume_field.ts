/** `resume` of a request: it goes on behind tokens that another instance told. For who has the cluster key. */
import * as z from 'zod';
import { integer, tokenList } from '../base/plain_fields.js';
import { seedField } from './transfer_params.js';

/** More tokens than any context has. */
const MAX_TOKENS = 2 ** 20;

/** A stream tells what comes behind `token_ids`, a whole answer all; usage counts all of them in both. */
export const resumeField = z.object(
  {
    /** Output that was told already; [] where nothing was. */
    token_ids: tokenList(0, MAX_TOKENS).unwrap().unwrap(),
    /** As the comment `begun` of the first answer has it; tokens are drawn with it. */
    seed: seedField.nullish(),
    /** As the first answer has it, in seconds since 1970. */
    created: integer(0),
  },
  { error: 'give an object with token_ids' },
);

/** Checked. */
export type Resume = z.infer<typeof resumeField>;
