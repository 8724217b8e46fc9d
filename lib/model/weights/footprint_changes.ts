/** What a rank would hold if its weights were kept as something else. Pure. */
import { ExpertError } from '../../../compute/base/errors.js';
import type { BackendName } from '../../../compute/tfjs/tf.js';
import { footprintOf, type Footprint, type FootprintOptions } from './footprint.js';
import { residenceOf, type ResidenceChoice } from './residence.js';

/** Of what the configuration wants, what is otherwise. */
export type FormChange = Partial<Pick<ResidenceChoice, 'experts' | 'dense' | 'overrides'>> &
  Pick<FootprintOptions, 'maxResidentBytes' | 'warm'>;

/** Null where a rank can't keep its weights so. */
export type FootprintAs = (changed: FormChange) => Footprint | null;

/** {@link FootprintAs} of a rank whose configuration wants `choice`. */
export const footprintAs =
  (options: FootprintOptions, choice: ResidenceChoice, backend: BackendName): FootprintAs =>
  ({ maxResidentBytes = options.maxResidentBytes ?? null, warm = options.warm ?? null, ...changed }) => {
    try {
      const residence = residenceOf({ ...choice, ...changed }, backend, options.weights);
      return footprintOf({ ...options, residence, maxResidentBytes, warm });
    } catch (error) {
      if (error instanceof ExpertError && error.code === 'INVALID_ARGUMENT') return null;
      throw error;
    }
  };
