/** Who wants to know which keys and values steps write. */
import type { SequencePart } from '../../model/decoder/decoder.js';
import type { SequenceStart } from '../../protocol/step_plan.js';

/** Told by a rank's executor; all parts have the number of their sequence. */
export interface RowsWatch {
  /** A sequence begins, or begins anew, with tokens that are in its blocks already. */
  began(start: Pick<SequenceStart, 'sequence' | 'blocks' | 'tokenIds'>): void;
  /** The rows of these parts are in the cache: of this attention layer, or of all where it is null. */
  wrote(layer: number | null, parts: readonly SequencePart[]): void;
  /** The step came to nothing: what it wrote will be written again, maybe to other blocks. */
  abandoned(parts: readonly SequencePart[]): void;
}
