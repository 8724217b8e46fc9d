/** A batch as it is kept and as OpenAI's API shows it. Pure. */
import * as z from 'zod';
import { BATCH_ENDPOINTS } from '../../batches/batch_line.js';

/** What a batch is at. */
export const BATCH_STATUSES = [
  ...(['validating', 'in_progress', 'finalizing', 'cancelling'] as const),
  ...(['completed', 'failed', 'expired', 'cancelled'] as const),
] as const;
/** One of {@link BATCH_STATUSES}. */
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** Those that a batch doesn't leave. */
const OVER: ReadonlySet<BatchStatus> = new Set(['completed', 'failed', 'expired', 'cancelled']);

const count = z.number();
const time = z.number().optional();
/** As it is on the disk; times in seconds since 1970. */
export const BATCH_RECORD = z.object({
  id: z.string(),
  /** Whose it is, as {@link ApiKeys.callerOf} says: nobody else sees it. */
  owner: z.string(),
  endpoint: z.enum(BATCH_ENDPOINTS),
  inputFileId: z.string(),
  metadata: z.record(z.string(), z.string()).nullable(),
  model: z.string().nullable(),
  status: z.enum(BATCH_STATUSES),
  /** All lines that will have one have their row, and this is what it comes to; null: not yet. */
  outcome: z.enum(['completed', 'expired', 'cancelled']).nullable(),
  createdS: z.number(),
  expiresS: z.number(),
  times: z.object({
    ...{ in_progress_at: time, finalizing_at: time, completed_at: time, failed_at: time },
    ...{ expired_at: time, cancelling_at: time, cancelled_at: time },
  }),
  errors: z.array(
    z.object({ code: z.string(), message: z.string(), param: z.string().nullable(), line: z.number().nullable() }),
  ),
  counts: z.object({ total: count, completed: count, failed: count }),
  usage: z
    .object({
      input_tokens: count,
      input_tokens_details: z.object({ cached_tokens: count }),
      output_tokens: count,
      output_tokens_details: z.object({ reasoning_tokens: count }),
      total_tokens: count,
    })
    .nullable(),
  /** Ids that the files of rows have, once they are there. */
  outputFileId: z.string(),
  errorFileId: z.string(),
  hasOutput: z.boolean(),
  hasErrors: z.boolean(),
  /** After which they go; null: they stay. */
  outputExpiresAfterS: z.number().nullable(),
});

/** Its type. */
export type BatchRecord = Readonly<z.infer<typeof BATCH_RECORD>>;

/** Nothing more comes of it. */
export const isOver = ({ status }: Pick<BatchRecord, 'status'>): boolean => OVER.has(status);

/** What {@link BatchRecord} says of one that begins. */
export type BatchBegin = Pick<
  BatchRecord,
  | 'id'
  | 'owner'
  | 'endpoint'
  | 'inputFileId'
  | 'metadata'
  | 'createdS'
  | 'outputFileId'
  | 'errorFileId'
  | 'outputExpiresAfterS'
>;

/** All that a batch may take: OpenAI's one window. */
const WINDOW_S = 24 * 3600;

/** A batch of which nothing was looked at yet. */
export const newBatch = (begin: BatchBegin): BatchRecord => ({
  ...begin,
  ...{ model: null, status: 'validating', outcome: null, expiresS: begin.createdS + WINDOW_S, times: {}, errors: [] },
  ...{ counts: { total: 0, completed: 0, failed: 0 }, usage: null, hasOutput: false, hasErrors: false },
});

/** In another status, with the time of that. */
export const withStatus = (
  batch: BatchRecord,
  status: Exclude<BatchStatus, 'validating'>,
  nowS: number,
): BatchRecord => ({
  ...batch,
  status,
  times: { ...batch.times, [`${status}_at`]: nowS },
});

/** As clients see it. */
export const batchJson = (batch: BatchRecord): object => ({
  id: batch.id,
  object: 'batch',
  endpoint: batch.endpoint,
  ...(batch.model !== null && { model: batch.model }),
  errors: batch.errors.length === 0 ? null : { object: 'list', data: batch.errors },
  input_file_id: batch.inputFileId,
  completion_window: '24h',
  status: batch.status,
  output_file_id: batch.hasOutput ? batch.outputFileId : null,
  error_file_id: batch.hasErrors ? batch.errorFileId : null,
  created_at: batch.createdS,
  expires_at: batch.expiresS,
  ...{ in_progress_at: null, finalizing_at: null, completed_at: null, failed_at: null, expired_at: null },
  ...{ cancelling_at: null, cancelled_at: null },
  ...batch.times,
  request_counts: batch.counts,
  ...(batch.usage !== null && { usage: batch.usage }),
  metadata: batch.metadata,
});
