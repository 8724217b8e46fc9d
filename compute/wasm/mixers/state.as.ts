/** States of sequences: what a layer without keys and values knows of earlier tokens. */
import { Part } from '../attention/step.as';

/** A copy of a part's state that is kept: as it is behind the part's first `numTokens` tokens. Callers write it. */
@unmanaged
export class Keep {
  numTokens: i32;
  /** Of all layers, as {@link Part.state}. */
  state: usize;
}

export function keepOf(part: Part, index: i32): Keep {
  return changetype<Keep>(part.keeps + <usize>index * offsetof<Keep>());
}
