/** What a load is made of. */
import type { Conversation } from '../load/conversation.js';
import type { PromptMaker } from '../load/prompt_maker.js';

/** Conversations, and what the report says of them. */
export interface Dataset {
  readonly conversations: readonly Conversation[];
  /** Lines for the report: how it was made, what was scaled or cut. */
  readonly notes: readonly string[];
}

/** What all datasets are given. */
export interface DatasetSetting {
  readonly numPrompts: number;
  readonly seed: number;
  readonly make: PromptMaker;
  /** Prompt and answer together; Infinity where the server doesn't tell. */
  readonly maxModelLen: number;
}
