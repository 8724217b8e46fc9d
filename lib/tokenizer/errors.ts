import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong between text and token ids; the message begins with the code and ends with what to do. */
export type TokenizerErrorCode =
  | 'INVALID_TOKENIZER' // a tokenizer file is not what its format asks for
  | 'READ_FAILED' // the operating system refused to read a tokenizer file
  | 'VOCAB_MISMATCH' // the tokenizer makes ids that the model does not have
  | 'NOT_ENCODABLE' // the vocabulary has no token for a part of the text
  | 'NO_CHAT_TEMPLATE' // messages were given, but the model folder has no template for them
  | 'TEMPLATE_FAILED' // the chat template is malformed or refused the messages
  | 'THREAD_ENDED' // the thread that encodes long texts failed, is full, or was closed
  | 'INVALID_ARGUMENT'; // a call with impossible arguments

/** Where: attached as a field and named in the message. */
export interface TokenizerErrorContext {
  /** Path of the file that the error is about. */
  readonly file?: string | undefined;
  readonly cause?: unknown;
}

/** The only error class that lib/tokenizer throws. */
export class TokenizerError extends CodedError<TokenizerErrorCode> {
  readonly file: string | undefined;

  constructor(code: TokenizerErrorCode, text: string, { file, cause }: TokenizerErrorContext = {}) {
    super(code, text, { cause });
    this.file = file;
  }
}
