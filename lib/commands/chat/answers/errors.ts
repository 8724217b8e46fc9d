import { CodedError } from '../../../../base/coded_error.js';

/** What a session tells and outlives. */
export type ChatErrorCode =
  | 'NO_SERVER' // nobody answers at the address, or not as a server of this API does
  | 'SERVER_REFUSED' // it answered with an error
  | 'ANSWER_BROKEN' // the stream ended too early, or is none
  | 'BAD_CONVERSATION' // a file that holds something else
  | 'UNREADABLE' // a file
  | 'UNWRITABLE'
  | 'NO_EXPERTS'; // the answer came without them

/** A failure in a chat. */
export class ChatError extends CodedError<ChatErrorCode> {}
