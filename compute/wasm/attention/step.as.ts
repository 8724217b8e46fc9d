/** What a step's layers share. Callers write it; layouts.ts has the same fields. */

/** Forms of latent attention. */
export const ABSORBED: i32 = 0;
export const NAIVE: i32 = 1;

@unmanaged
export class Step {
  /** Hidden states [numTokens · padded(hidden)], zeros in the padding; layers add to them. */
  x: usize;
  numTokens: i32;
  /** {@link Part}s, one after the other. */
  parts: usize;
  numParts: i32;
  /** float32 [numTokens · dim]: the cosines and sines of the tokens' positions (rope.as.ts). */
  angles: usize;
  /** i32 [numTokens · indexTopk]: positions that the last indexer chose for tokens that see more, ascending (mla_indexer.as.ts). */
  chosen: usize;
  /** At a multiple of 16. */
  scratch: usize;
  scratchBytes: usize;
}

/** One sequence's tokens in a step: rows rowStart … rowStart + numTokens − 1 of x. */
@unmanaged
export class Part {
  rowStart: i32;
  numTokens: i32;
  /** Of the first token. */
  position: i32;
  /** {@link ABSORBED} or {@link NAIVE}; GQA has one form only. */
  form: i32;
  /** Addresses of the sequence's cache blocks, up to its last token at least. */
  blocks: usize;
  /** What layers without keys and values know of the tokens before: of all layers, each at an offset of its own. 0 where there are none. */
  state: usize;
  /** Copies of it that are kept, in the order of the tokens that they stand behind ({@link Keep} of mixers/state.as.ts). */
  keeps: usize;
  numKeeps: i32;
}

export function partOf(step: Step, index: i32): Part {
  return changetype<Part>(step.parts + <usize>index * offsetof<Part>());
}

/** Keys that the longest sequence of the step has at its end. */
export function mostKeys(step: Step): i32 {
  let most = 0;
  for (let i = 0; i < step.numParts; i++) {
    const part = partOf(step, i);
    most = max(most, part.position + part.numTokens);
  }
  return most;
}

/** Address of the cache block that holds a token. */
export function blockAt(part: Part, token: i32, blockSize: i32): usize {
  return <usize>load<u32>(part.blocks + ((<usize>((part.position + token) / blockSize)) << 2));
}

/** What the attention of a step takes, as chunksFor counts it, for so many floats of queries per token. */
export function attentionWork(step: Step, width: i32): i64 {
  let work: i64 = 0;
  for (let i = 0; i < step.numParts; i++) work += partWork(partOf(step, i), width);
  return work;
}

/** Of one part. */
export function partWork(part: Part, width: i32): i64 {
  return (<i64>part.numTokens * <i64>(2 * part.position + part.numTokens) * <i64>width) >> 3;
}

/** Bytes of rows × width floats: sizes that callers ask for may be more than a memory can have. */
export function bytesOf(rows: i32, width: i32): u64 {
  return (<u64>rows * <u64>width) << 2;
}

/** What a kernel returns that needs so many bytes. */
export function lacking(bytes: u64): usize {
  return <usize>min<u64>(bytes, u32.MAX_VALUE);
}

/** Bytes of `count` floats. */
export function floats(count: i32): usize {
  return (<usize>count) << 2;
}
