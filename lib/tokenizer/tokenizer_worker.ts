/** Encodes texts in a thread of its own; started by tokenizer_thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { TokenizerError, type TokenizerErrorCode } from './errors.js';
import { loadTokenizer, type EncodeOptions, type Tokenizer } from './tokenizer.js';

/** What the thread begins with. */
export interface TokenizerWorkerData {
  /** The model folder. */
  readonly dir: string;
}

/** To the thread, which gets the next one once it has answered. */
export interface EncodeQuestion {
  readonly text: string;
  readonly options: EncodeOptions;
}

/** From the thread, one for each question. */
export type EncodeAnswer =
  | { readonly kind: 'encoded'; readonly tokenIds: readonly number[] }
  | {
      readonly kind: 'failed';
      readonly code: TokenizerErrorCode;
      readonly text: string;
      readonly file: string | undefined;
    };

const { dir } = workerData as TokenizerWorkerData;
let tokenizer: Tokenizer | undefined;
parentPort!.on('message', (question: EncodeQuestion) => {
  void answerTo(question).then((answer) => parentPort!.postMessage(answer));
});

async function answerTo({ text, options }: EncodeQuestion): Promise<EncodeAnswer> {
  try {
    tokenizer ??= await loadTokenizer(dir);
    if (tokenizer === undefined) {
      throw new TokenizerError('READ_FAILED', `${dir} has no tokenizer; put its tokenizer.json there`, { file: dir });
    }
    return { kind: 'encoded', tokenIds: tokenizer.encode(text, options) };
  } catch (error) {
    if (!(error instanceof TokenizerError)) throw error; // ends the thread, and is told as why
    return { kind: 'failed', code: error.code, text: error.text, file: error.file };
  }
}
