/** Lengths that a server's context has room for. Pure. */

/** Of a prompt and its answer, in tokens. */
export interface Lengths {
  readonly input: number;
  readonly output: number;
}

/** Cuts lengths to a context, and counts what was cut. */
export class Fitting {
  private numCut = 0;
  private numSeen = 0;

  constructor(private readonly maxModelLen: number) {}

  /** The answer keeps its length, up to half of the context; the prompt what is left of it. Both have at least one token. */
  fit({ input, output }: Lengths): Lengths {
    this.numSeen++;
    if (input + output <= this.maxModelLen) return { input, output };
    this.numCut++;
    const kept = Math.max(1, Math.min(output, Math.floor(this.maxModelLen / 2)));
    return { input: Math.max(1, Math.min(input, this.maxModelLen - kept)), output: kept };
  }

  /** For the report; none where nothing was cut. */
  notes(): string[] {
    const { numCut, numSeen, maxModelLen } = this;
    return numCut === 0
      ? []
      : [`${numCut} of ${numSeen} requests cut to the server's context of ${maxModelLen} tokens`];
  }
}
