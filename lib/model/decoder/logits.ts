/** The logits of one token over the vocabulary, wherever they lie: what sampling asks of them. */
export interface LogitRow {
  readonly vocabSize: number;
  /** [V], a copy. */
  values(): Float32Array;
  /** The first token whose logit is NaN or infinite; −1: all are finite. */
  firstNonFinite(): number;
  /** The k tokens with the largest logits, best first, the lower token on ties; 1 ≤ k ≤ V, all finite, or −∞ where they are JavaScript's. */
  best(k: number): number[];
  /** A token's logit. */
  at(token: number): number;
}

/** Rows [N·V] that are JavaScript's. */
export function logitRowsOf(logits: Float32Array, vocabSize: number): LogitRow[] {
  return Array.from(
    { length: logits.length / vocabSize },
    (_, i) => new FloatRow(logits.subarray(i * vocabSize, (i + 1) * vocabSize)),
  );
}

class FloatRow implements LogitRow {
  constructor(private readonly logits: Float32Array) {}

  get vocabSize(): number {
    return this.logits.length;
  }

  values(): Float32Array {
    return this.logits.slice();
  }

  firstNonFinite(): number {
    const { logits } = this;
    for (let token = 0; token < logits.length; token++) if (!Number.isFinite(logits[token])) return token;
    return -1;
  }

  best(k: number): number[] {
    const { logits } = this;
    if (k === 1) return [argmax(logits)];
    return k <= FEW_LOGITS ? fewBest(logits, k) : manyBest(logits, k);
  }

  at(token: number): number {
    return this.logits[token]!;
  }
}

/** Up to here, keeping the best in order costs less than sorting all. */
export const FEW_LOGITS = 64;

/** Behind the bits of a logit there is room for so many tokens in the 53 bits of a number. */
const MAX_TOKENS = 2 ** 21;

/**
 * All are sorted, as numbers that have the order of the logits before that of the tokens: without a function that compares, which makes it ten times as fast.
 * A long step of one rank is waited for by all.
 */
export function manyBest(logits: Float32Array, k: number): number[] {
  const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
  const keys = new Float64Array(logits.length);
  for (let token = 0; token < keys.length; token++) keys[token] = descending(bits[token]!) * MAX_TOKENS + token;
  keys.sort();
  const best = new Array<number>(k);
  for (let i = 0; i < k; i++) best[i] = keys[i]! % MAX_TOKENS;
  return best;
}

/** From the bits of a float to a number from 0 to 2^32 − 1: the larger the float, the smaller; both zeros are one. */
function descending(word: number): number {
  const isNegative = word >= 0x8000_0000;
  if (isNegative) return word === 0x8000_0000 ? 0x7fff_ffff : word;
  return 0x7fff_ffff - word;
}

function fewBest(logits: Float32Array, k: number): number[] {
  const best: number[] = [];
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (best.length === k && logit <= logits[best[k - 1]!]!) continue;
    let place = best.length;
    while (place > 0 && logit > logits[best[place - 1]!]!) place--;
    best.splice(place, 0, token);
    if (best.length > k) best.pop();
  }
  return best;
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[best]!) best = token;
  return best;
}
