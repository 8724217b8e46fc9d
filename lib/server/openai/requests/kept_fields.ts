/** How long keys and values stay in the prefix cache when a request is over: our field, and OpenAI's. */
import * as z from 'zod';
import { MAX_PIN_MS } from '../../../protocol/request.js';
import { number } from '../../base/plain_fields.js';

const RETENTION = 'give "24h" or "in_memory"';

/** Null is as good as absent. `in-memory` is how OpenAI spelled it first. */
export const keptFields = {
  kv_pin_ms: number(0, MAX_PIN_MS),
  prompt_cache_retention: z.enum(['24h', 'in_memory', 'in-memory'], { error: RETENTION }).nullish(),
};

/** Of a request, checked. */
type KeptFields = Partial<z.infer<z.ZodObject<typeof keptFields>>>;

/** In milliseconds; 0: as long as there is room. Ours counts where both are there. */
export const pinMsOf = ({ kv_pin_ms: pinMs, prompt_cache_retention: retention }: KeptFields): number =>
  pinMs ?? (retention === '24h' ? MAX_PIN_MS : 0);
