/** What a hook was told, to be looked up. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Hook, HookEvent, HookPoint, HookPoints } from '../../../lib/protocol/hook.js';
import { tinyModel } from '../paths.js';

/** All points in all layers. */
export const EVERYTHING: HookPoints = {
  hiddenBefore: 'all',
  hiddenAfter: 'all',
  lensLogits: 'all',
  moeInput: 'all',
  routerLogits: 'all',
  routerScores: 'all',
  routing: 'all',
  expertOutputs: 'all',
};

/** A hook that keeps what it is told. */
export class Seen implements Hook {
  readonly points: HookPoints;
  readonly events: HookEvent[] = [];

  constructor(
    points: HookPoints = EVERYTHING,
    readonly rest: Omit<Hook, 'points' | 'onEvent'> = {},
  ) {
    this.points = points;
  }

  /** As the engine takes it: a plain object. */
  get hook(): Hook {
    return { points: this.points, ...this.rest, onEvent: this.onEvent };
  }

  readonly onEvent = (event: HookEvent): void => void this.events.push(event);

  /** Of one token. */
  at<P extends HookPoint>(
    point: P,
    layer: number,
    position: number,
    sequence = 0,
  ): Extract<HookEvent, { readonly point: P }> {
    const found = this.events.filter(
      (event) =>
        event.point === point && event.layer === layer && event.position === position && event.sequence === sequence,
    );
    if (found.length !== 1) throw new Error(`${found.length} events of ${point}, layer ${layer}, position ${position}`);
    return found[0] as Extract<HookEvent, { readonly point: P }>;
  }

  /** All of it as text: equal where all bits are. Requests are told apart by `numbers`. */
  bits(sequence = 0): string[] {
    return this.events
      .filter((event) => event.sequence === sequence)
      .map((event) => ({ ...event, sequence: 0 }))
      .map((event) =>
        JSON.stringify(event, (_key, value: unknown) => (ArrayBuffer.isView(value) ? bitsOf(value) : value)),
      )
      .sort();
  }
}

const bitsOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** inside.json of a tiny model: what transformers computes inside of it, for some positions of its golden's prompt. */
export interface InsideGolden {
  readonly positions: readonly number[];
  /** [layers + 1][positions][H] */
  readonly hidden: readonly (readonly (readonly number[])[])[];
  readonly moe_layers: readonly number[];
  /** [MoE layers][positions][E] */
  readonly router_logits: readonly (readonly (readonly number[])[])[];
  /** [MoE layers][positions][K] */
  readonly experts: readonly (readonly (readonly number[])[])[];
  /** [MoE layers][positions][K·H], in the order of `experts` */
  readonly expert_outputs: readonly (readonly (readonly number[])[])[];
}

/** None of FP8, which transformers computes otherwise. */
export const hasInsideGolden = (name: string): boolean => existsSync(join(tinyModel(name), 'inside.json'));

export const insideGolden = (name: string): InsideGolden =>
  JSON.parse(readFileSync(join(tinyModel(name), 'inside.json'), 'utf8')) as InsideGolden;
