/** How long a file stays, as OpenAI's clients say it. Pure. */
import * as z from 'zod';

const HOUR_S = 3600;
const MONTH_S = 30 * 24 * HOUR_S;
const SECONDS = `give a whole number from ${HOUR_S} to ${MONTH_S}`;

/** Seconds behind its making; of a form they come as text. */
export const lifetimeField = z.object(
  {
    anchor: z.literal('created_at', { error: 'give created_at' }),
    seconds: z
      .union([z.number({ error: SECONDS }), z.string({ error: SECONDS }).regex(/^\d+$/).transform(Number)], {
        error: SECONDS,
      })
      .refine((seconds) => Number.isInteger(seconds) && seconds >= HOUR_S && seconds <= MONTH_S, { error: SECONDS }),
  },
  { error: 'give anchor and seconds' },
);

/** Null: it stays. */
export const lifetimeOf = (lifetime: z.infer<typeof lifetimeField> | null | undefined): number | null =>
  lifetime?.seconds ?? null;
