/** What the processes of this measurement are told, and say. */

/** An instance of ours tells routers of each token; a server of others doesn't. */
export type UpstreamKind = 'own' | 'foreign';

/** It listens, and tells one token after the other. */
export interface UpstreamOrder {
  readonly gapMs: number;
}

/** Where. */
export interface UpstreamNews {
  readonly url: string;
}

/** A router before a played server, or what it took so far. */
export type RouterOrder =
  | {
      readonly kind: 'route';
      readonly upstream: string;
      readonly as: UpstreamKind;
      readonly model: string;
      readonly policy: string;
    }
  | { readonly kind: 'took' };

/** Where it is, and the time on the processor of its whole process. */
export interface RouterNews {
  readonly url: string;
  readonly cpuMs: number;
}

/** When something was said, by the clock that all processes of a machine share: in nanoseconds. */
export const clockNs = (): bigint => process.hrtime.bigint();
