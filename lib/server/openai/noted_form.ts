/** An answer with notes to the router. Why: docs/decisions/cluster.md#comments-tell-the-router-what-events-hold */
import { noteLine, OPENING_LINE, type StreamNote } from '../cluster/stream_notes.js';
import type { OfferedParams } from '../cluster/transfer_params.js';
import type { AnswerForm } from './answer_streams.js';
import type { Delta } from './requests/choice_deltas.js';

/** What notes tell of a request. */
export interface Noted {
  readonly begun: Extract<StreamNote, { kind: 'begun' }>;
  /** Tokens of output that another instance told: the stream begins behind them. Null: it is told from its beginning. */
  readonly numTold: number | null;
  /** What the target of a handover is told; null: not yet, or none. Asked when deltas come, of which there may be none. */
  readonly takeOffered: () => OfferedParams | null;
}

/** `form` with notes in its stream; a whole answer has none. */
export function notedForm(form: AnswerForm, { begun, numTold, takeOffered }: Noted): AnswerForm {
  let numLeft = numTold ?? 0;
  const tell = (delta: Delta): string => {
    const { tokens, end, numResumed } = delta;
    const resumed = numResumed === undefined ? '' : noted('', { kind: 'resumed', numTokens: numResumed });
    if (tokens.length === 0 && end === null) return resumed;
    const frames = form.frames([delta]); // also where they were told: forms count
    const isTold = numLeft > 0;
    numLeft -= tokens.length;
    return resumed + (isTold ? '' : noted(frames, { kind: 'tokens', tokenIds: tokens.map(({ tokenId }) => tokenId) }));
  };
  return {
    whole: form.whole,
    opening: () => opened(numTold === null ? form.opening() : (form.opening(), ''), begun),
    frames: (deltas) => {
      const params = takeOffered();
      const kv = params === null ? '' : noted('', { kind: 'kv', params });
      return kv + (begun.isMovable ? deltas.map(tell).join('') : form.frames(deltas));
    },
    closing: () => noted(form.closing(), { kind: 'done' }),
    failing: (error) =>
      error.code === 'MOVED'
        ? noted('', { kind: 'moved' })
        : noted(form.failing(error), { kind: 'failed', code: error.code.toLowerCase() }),
  };
}

const BLOCK_END = '\n\n';

/** What a stream begins with: a comment, however many blocks it has. */
function opened(blocks: string, begun: Noted['begun']): string {
  const opening = noted(blocks, begun);
  return opening.startsWith(':') ? opening : OPENING_LINE + opening;
}

/** Blocks, of which the last one has the note. */
function noted(blocks: string, note: StreamNote): string {
  if (blocks === '') return `${noteLine(note)}\n`;
  const last = blocks.lastIndexOf(BLOCK_END, blocks.length - BLOCK_END.length - 1);
  const start = last === -1 ? 0 : last + BLOCK_END.length;
  return blocks.slice(0, start) + noteLine(note) + blocks.slice(start);
}
