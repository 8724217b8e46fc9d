/** What every engine is asked for, and answers: the same prompts, in turns. */

/** How an engine keeps its weights; the peers' files are written so from the same checkpoint. */
export const DTYPES = ['bf16', 'f32', 'int8', 'int4'] as const;

/** One of {@link DTYPES}. Codes have a float32 scale per 32 weights here, a float16 one in llama.cpp's q8_0 and q4_0. */
export type Dtype = (typeof DTYPES)[number];

/** A timed run and the tokens that came of it. */
export interface EngineRun {
  readonly ms: number;
  /** Per prompt, the first one included; empty where an engine doesn't tell. */
  readonly tokens: readonly (readonly number[])[];
}

/** An engine that has loaded a model and waits for orders, one at a time. */
export interface PeerEngine {
  readonly name: string;
  /** Which build of it, for the report. */
  readonly version: string;
  /** From a prompt that it hasn't seen to the first token. */
  prefill(ids: readonly number[]): Promise<EngineRun>;
  /** Steps that give every prompt a token; the prompts, of one length, are in the cache before the clock runs. */
  decode(prompts: readonly (readonly number[])[], numSteps: number): Promise<EngineRun>;
  /** Logits after the last token; null where an engine doesn't tell. */
  logits(ids: readonly number[]): Promise<readonly number[] | null>;
  /** Returns when its processes are gone. */
  close(): Promise<void>;
}

/** What engines are started for. */
export interface EngineSetting {
  readonly dtype: Dtype;
  /** It may use the first of this process's cores, so many. */
  readonly cores: number;
  /** The most sequences at a time. */
  readonly maxSeqs: number;
  /** The longest sequence, in tokens. */
  readonly maxTokens: number;
}
