/** A load over its time: requests in flight and tokens per second, in equal parts. Pure. */
import { isCompleted, numOutputTokens, type RequestRecord } from './record.js';

/** One part of the time. */
export interface TimePart {
  /** Its beginning, from the start of the load. */
  readonly atMs: number;
  /** Mean number of requests in flight. */
  readonly numRunning: number;
  readonly tokensPerS: number;
}

/** `numParts` of the whole duration; tokens count when their chunk arrives. */
export function overTime(records: readonly RequestRecord[], durationMs: number, numParts: number): TimePart[] {
  const width = durationMs / numParts;
  const tokens = new Array<number>(numParts).fill(0);
  const running = new Array<number>(numParts).fill(0);
  const partOf = (ms: number): number => Math.max(0, Math.min(numParts - 1, Math.floor(ms / width)));
  for (const record of records) {
    for (let part = partOf(record.startMs); part <= partOf(record.endMs); part++) {
      const end = Math.min(record.endMs, (part + 1) * width);
      running[part]! += Math.max(0, end - Math.max(record.startMs, part * width)) / width;
    }
    if (!isCompleted(record)) continue;
    const perChunk = numOutputTokens(record) / record.answer.chunkMs.length;
    for (const ms of record.answer.chunkMs) tokens[partOf(ms)]! += perChunk;
  }
  return tokens.map((count, part) => ({
    atMs: part * width,
    numRunning: running[part]!,
    tokensPerS: (count / width) * 1000,
  }));
}
