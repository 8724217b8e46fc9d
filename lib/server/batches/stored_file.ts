/** A file of clients, or for them, as it is kept and as OpenAI's API shows it. Pure. */
import * as z from 'zod';

/** What files are for. */
export const FILE_PURPOSES = ['batch', 'batch_output'] as const;

const seconds = z.number();
/** As it lies beside its content. */
export const STORED_FILE = z.object({
  id: z.string(),
  /** Whose it is, as {@link ApiKeys.callerOf} says: nobody else sees it. */
  owner: z.string(),
  purpose: z.enum(FILE_PURPOSES),
  filename: z.string(),
  bytes: z.number(),
  createdS: seconds,
  /** Null: it stays until it is deleted. */
  expiresS: seconds.nullable(),
});

/** Its type. */
export type StoredFile = Readonly<z.infer<typeof STORED_FILE>>;

/** As clients see it. */
export const fileJson = ({ id, purpose, filename, bytes, createdS, expiresS }: StoredFile): object => ({
  id,
  object: 'file',
  bytes,
  created_at: createdS,
  ...(expiresS !== null && { expires_at: expiresS }),
  filename,
  purpose,
  status: 'processed',
});
