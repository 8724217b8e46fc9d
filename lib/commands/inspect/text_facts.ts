/** What a model folder has for text: tokenizer, ends, chat template. */
import { generationEosTokenIds } from '../../model/spec/hf_config.js';
import { ModelError } from '../../model/spec/errors.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { TokenizerError } from '../../tokenizer/errors.js';
import { loadTokenizer, type Tokenizer } from '../../tokenizer/tokenizer.js';
import type { ModelFiles } from '../../weights/model_files.js';

/** A tokenizer that works. */
export interface TextFacts {
  /** One more than its largest id. */
  readonly vocabSize: number;
  /** What a text begins with, as it is spelled; null: nothing. */
  readonly bos: string | null;
  /** Tokens that end a text, by id, as they are spelled. */
  readonly ends: ReadonlyMap<number, string>;
  /** Names of its chat templates. */
  readonly templates: readonly string[];
  /** Whether one of them writes a conversation. */
  readonly chat: 'none' | 'works' | 'fails';
}

/** Null where the folder has none. `onProblem` is told what doesn't work. */
export async function inspectText(
  files: ModelFiles,
  spec: ModelSpec | null,
  onProblem: (error: TokenizerError | ModelError) => void,
): Promise<TextFacts | null> {
  const tried = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof TokenizerError || error instanceof ModelError)) throw error;
      onProblem(error);
      return otherwise;
    }
  };
  const ofFiles = tried(() => generationEosTokenIds(files.generationConfig), []);
  const loaded = await settled(loadTokenizer(files.dir));
  const tokenizer = tried(loaded, undefined);
  if (tokenizer === undefined) return null;
  if (spec !== null) tried(() => tokenizer.checkVocab(spec.vocabSize), undefined);
  const own = tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
  const templates = [...tokenizer.chatTemplates.sources.keys()];
  const ends = new Set([...(spec?.eosTokenIds ?? []), ...ofFiles, ...own]);
  return {
    vocabSize: tokenizer.vocabSize,
    bos: tried(() => bosOf(tokenizer), null),
    ends: new Map([...ends].map((id) => [id, tokenizer.tokenOf(id) ?? '?'])),
    templates,
    chat: templates.length === 0 ? 'none' : tried(() => chatOf(tokenizer), 'fails'),
  };
}

/** What gives the result of a promise, or throws what it failed with. */
async function settled<T>(work: Promise<T>): Promise<() => T> {
  const [result] = await Promise.allSettled([work]);
  return () => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  };
}

/** What an empty text becomes. */
function bosOf(tokenizer: Tokenizer): string | null {
  const [first] = tokenizer.encode('');
  return first === undefined ? null : (tokenizer.tokenOf(first) ?? null);
}

function chatOf(tokenizer: Tokenizer): 'works' {
  tokenizer.renderChat([{ role: 'user', content: 'Hello' }]);
  return 'works';
}
