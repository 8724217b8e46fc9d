/** Lists in pieces, as OpenAI's clients turn their pages. Pure. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';

const ORDERS = ['asc', 'desc'] as const;

/** Fields of a query. `most`: entries of a page; `usual`: of one that doesn't say. */
export const pageFields = (most: number, usual: number) => {
  const error = `give a whole number from 1 to ${most}`;
  return {
    limit: z
      .string()
      .regex(/^\d{1,6}$/, { error })
      .transform(Number)
      .pipe(z.int().min(1, { error }).max(most, { error }))
      .default(usual),
    after: z.string({ error: 'give the id of the last one of the page before' }).nullish(),
    order: z.enum(ORDERS, { error: `give ${ORDERS.join(' or ')}` }).default('desc'),
  };
};

/** Which page is wanted. */
export interface PageAsked {
  readonly limit: number;
  readonly after?: string | null | undefined;
  readonly order: (typeof ORDERS)[number];
}

/** A page of `all`, which are in the order in which they were made. @throws ApiError NOT_FOUND where none has the id `after` */
export function pageOf<T extends { readonly id: string }>(
  all: readonly T[],
  { limit, after, order }: PageAsked,
  json: (each: T) => object,
): object {
  const ordered = order === 'asc' ? all : [...all].reverse();
  const last = after == null ? -1 : ordered.findIndex(({ id }) => id === after);
  if (after != null && last < 0) {
    throw new ApiError('NOT_FOUND', `there is no ${shown(after)}; list from the beginning`, { param: 'after' });
  }
  const page = ordered.slice(last + 1, last + 1 + limit);
  return {
    object: 'list',
    data: page.map(json),
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
    has_more: last + 1 + limit < ordered.length,
  };
}
