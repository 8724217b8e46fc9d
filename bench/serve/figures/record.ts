/** One request of a load as the figures see it, and what each figure of it is. Pure. */
import type { Answered, Exchange, Failure } from '../client/outcome.js';

/** A request and its times, in milliseconds from the start of the load. */
export interface RequestRecord {
  readonly conversation: number;
  readonly turn: number;
  /** When it was to be sent. */
  readonly plannedMs: number;
  /** When it might be sent: later than planned where as many requests ran as may at a time. */
  readonly allowedMs: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Null where the prompt was text. */
  readonly promptIds: Int32Array | null;
  /** Of several turns: the prompts of later ones begin as this one and its answer. */
  readonly hasLaterTurns: boolean;
  readonly answer: Answered | null;
  readonly failure: Failure | null;
}

/** A request that was answered. */
export type CompletedRecord = RequestRecord & { readonly answer: Answered };

/** Times of an exchange, from the start of the load. */
export function timesFrom(
  originMs: number,
  { startMs, endMs, answer, failure }: Exchange,
): Pick<RequestRecord, 'startMs' | 'endMs' | 'answer' | 'failure'> {
  const moved = answer && { ...answer, chunkMs: answer.chunkMs.map((ms) => ms - originMs) };
  return { startMs: startMs - originMs, endMs: endMs - originMs, answer: moved, failure };
}

/** Whether it was answered whole. */
export const isCompleted = (record: RequestRecord): record is CompletedRecord => record.answer !== null;

/** Tokens of the prompt: as the server counts them, or else of the ids that were sent; null: nobody knows. */
export const numPromptTokens = ({ answer, promptIds }: RequestRecord): number | null =>
  answer?.usage?.promptTokens ?? promptIds?.length ?? null;

/** Tokens of the answer: as the server counts them, or else of the ids that it told, or else one per chunk. */
export function numOutputTokens({ answer }: CompletedRecord): number {
  const told = answer.usage?.completionTokens ?? 0;
  return told > 0 ? told : (answer.tokenIds?.length ?? answer.chunkMs.length);
}

/** Time to the first token: its chunk's arrival − sending. */
export const ttftMs = ({ answer, startMs }: CompletedRecord): number => answer.chunkMs[0]! - startMs;

/** The last token's arrival − sending. */
export const e2elMs = ({ answer, startMs }: CompletedRecord): number => answer.chunkMs.at(-1)! - startMs;

/** (last token − first token) / (tokens − 1); null with fewer than two tokens. */
export function tpotMs(record: CompletedRecord): number | null {
  const count = numOutputTokens(record);
  return count < 2 ? null : (e2elMs(record) - ttftMs(record)) / (count - 1);
}

/** All gaps between two chunks with tokens. */
export const itlsMs = ({ answer: { chunkMs } }: CompletedRecord): number[] =>
  chunkMs.slice(1).map((ms, i) => ms - chunkMs[i]!);
