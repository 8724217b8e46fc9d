/** A server of others as an instance: what its list of models says, since it tells nothing else of itself. */
import * as z from 'zod';
import type { InstanceRecord } from '../base/instance_record.js';
import { refusal, messageOf } from './messages.js';

/** vLLM tells the length too. */
const modelsSchema = z.object({
  data: z.array(z.object({ id: z.string().min(1).max(1024), max_model_len: z.int().min(1).nullish() })).min(1),
});

/** vLLM's default: whoever guesses what such a server has cached counts in blocks of so many tokens. */
const BLOCK_SIZE = 16;

/** `models`: the answer to GET /v1/models; its first model counts. @throws ClusterError INVALID_RECORD: it is none */
export function foreignRecord(id: string, url: string, models: string): InstanceRecord {
  const result = modelsSchema.safeParse(messageOf(models, id));
  if (!result.success) throw refusal(id, 'no list of models', `see what answers at ${url}`);
  const [model] = result.data.data;
  return {
    ...{ id, incarnation: 'foreign', url, kind: 'foreign', role: 'mixed', isDraining: false },
    ...{ model: model!.id, maxModelLen: model!.max_model_len ?? 0, numRanks: 1, blockSize: BLOCK_SIZE },
    ...{ fingerprint: null, numKvBlocks: 0, sharing: null, isPooled: false },
  };
}
