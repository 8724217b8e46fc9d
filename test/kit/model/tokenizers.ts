import { pipelineSchema } from '../../../lib/tokenizer/pipeline/pipeline.js';
import { Tokenizer } from '../../../lib/tokenizer/tokenizer.js';

/**
 * A small tokenizer as SentencePiece models have it: '▁' for a space, one dropped at the beginning when decoding, and
 * bytes for characters without a token. Ids: 0 unknown, 1 begin, 2 end, 3–258 bytes, then letters.
 */
export function sentencePieceTokenizer(): Tokenizer {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'é', '中', '▁a', '▁b', '▁▁'];
  const special = (id: number) => ({
    id,
    content: tokens[id]!,
    special: true,
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  });
  return new Tokenizer({
    file: 'tokenizer.json',
    chatTemplates: new Map(),
    config: { bos_token: '<s>', eos_token: '</s>' },
    tokenizer: pipelineSchema.parse({
      added_tokens: [special(0), special(1), special(2)],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: {
        type: 'BPE',
        unk_token: '<unk>',
        fuse_unk: true,
        byte_fallback: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: ['▁ a', '▁ b', '▁ ▁'],
      },
    }),
  });
}
