/** Who answers in a chat: an engine of one's own or a server. */
import type { ChatMessage } from '../../../tokenizer/chat_template.js';
import type { RoutedPiece } from './answer_trace.js';
import type { Piece } from './thinking.js';

/** What becomes of an answer, piece by piece; `finished` comes last. */
export type AnswerNews =
  | Piece
  | { readonly kind: 'routed'; readonly routed: RoutedPiece }
  /** `reason`: as OpenAI's API has it; null: nobody said. */
  | { readonly kind: 'finished'; readonly reason: string | null };

/** Answers. */
export interface AnswerSource {
  /**
   * Goes on with a conversation, until the answer ends or the signal says that nobody wants the rest; then it ends as well.
   * @throws CodedError: what is wrong with the question, the server or the engine
   */
  answer(messages: readonly ChatMessage[], signal: AbortSignal): AsyncIterable<AnswerNews>;
  /** Why there are no experts to show, and what would bring some; null: answers come with them. */
  readonly noExperts: string | null;
  /** What ended it for good; null: it goes on answering. */
  readonly failure: Error | null;
}
