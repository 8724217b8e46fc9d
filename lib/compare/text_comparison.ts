/** Two engines on the same texts: what the first makes of them waits on a disk, and the second's is held against it as it comes. */
import type { Engine } from '../head/engine.js';
import type { ScoreResult } from '../protocol/request.js';
import { Agreement } from './agreement.js';
import { scratchBytes, type ComparisonPlan } from './comparison_plan.js';
import { LayerAgreement } from './layer_agreement.js';
import { RoutingAgreement } from './routing_agreement.js';
import { checkScratchRoom, ScratchRows } from './scratch_rows.js';
import { readPieces, type PassOptions, type PassTaker, type Piece, type TextReading } from './text_pass.js';

type ReadOptions = Omit<PassOptions, 'lens'>;

/** One of {@link KINDS} each: read in the order in which they were written. */
type Scratch = Readonly<Record<(typeof KINDS)[number], ScratchRows>>;
const KINDS = ['logits', 'hidden', 'lens', 'routed'] as const;

/** A first, then B, of the same pieces; as often as there are texts. */
export class TextComparison {
  readonly agreement: Agreement;
  /** Empty where layers aren't compared. */
  readonly layers: readonly LayerAgreement[];
  readonly routing: RoutingAgreement;

  private constructor(
    private readonly plan: ComparisonPlan,
    private readonly scratch: Scratch,
  ) {
    this.agreement = new Agreement(plan.vocabSize);
    this.layers = Array.from({ length: plan.numLayers }, () => new LayerAgreement(new Agreement(plan.vocabSize)));
    this.routing = new RoutingAgreement(plan.pairs, plan.origins);
  }

  /** `dir`: for what waits. @throws CompareError NO_ROOM where all of the pieces don't fit there, SCRATCH_FAILED */
  static async create(plan: ComparisonPlan, pieces: readonly Piece[], dir: string): Promise<TextComparison> {
    await checkScratchRoom(dir, scratchBytes(plan, pieces));
    const opened: ScratchRows[] = [];
    try {
      while (opened.length < KINDS.length) opened.push(await ScratchRows.create(dir));
    } catch (error) {
      await Promise.all(opened.map((rows) => rows.close()));
      throw error;
    }
    const [logits, hidden, lens, routed] = opened as [ScratchRows, ScratchRows, ScratchRows, ScratchRows];
    return new TextComparison(plan, { logits, hidden, lens, routed });
  }

  /** Errors as those of `Engine.score`; CompareError SCRATCH_FAILED. */
  readA(engine: Pick<Engine, 'score'>, pieces: readonly Piece[], options: ReadOptions): Promise<TextReading> {
    const { logits, hidden, lens, routed } = this.scratch;
    return this.read(engine, pieces, options, {
      logits: async (values) => logits.write(values),
      hidden: (_layer, row) => hidden.write(row),
      lens: (_layer, row) => lens.write(row),
      routed: async (experts) => {
        for (const token of experts) await routed.write(this.flat(token));
      },
    });
  }

  /** Errors as those of {@link readA}. */
  readB(engine: Pick<Engine, 'score'>, pieces: readonly Piece[], options: ReadOptions): Promise<TextReading> {
    const { logits, hidden, lens, routed } = this.scratch;
    return this.read(engine, pieces, options, {
      logits: async (values) => this.agreement.add(await logits.read(values.length), values),
      hidden: async (layer, row) => this.layers[layer]!.addHidden(await hidden.read(row.length), row),
      lens: async (layer, row) => this.layers[layer]!.lens.add(await lens.read(row.length), row),
      routed: async (experts) => {
        const { routedFloats } = this.plan;
        for (const token of experts) this.routing.add([this.cut(await routed.read(routedFloats))], [token]);
      },
    });
  }

  /** Gives the room back. */
  async close(): Promise<void> {
    await Promise.all(KINDS.map((kind) => this.scratch[kind].close()));
  }

  private read(
    engine: Pick<Engine, 'score'>,
    pieces: readonly Piece[],
    options: ReadOptions,
    taker: PassTaker,
  ): Promise<TextReading> {
    const { lens, hasHidden, pairs } = this.plan;
    const asked = {
      ...taker,
      hidden: hasHidden ? taker.hidden : null,
      lens: lens === null ? null : taker.lens,
      routed: pairs.length === 0 ? () => Promise.resolve() : taker.routed,
    };
    return readPieces(engine, pieces, asked, { ...options, lens });
  }

  /** [L][K] → [L·K], −1 where a token has fewer choices. */
  private flat(token: ScoreResult['routedExperts'][number]): Float32Array {
    const row = new Float32Array(this.plan.routedFloats).fill(-1);
    const numTopk = row.length / token.length;
    token.forEach((choices, layer) => row.set(choices, layer * numTopk));
    return row;
  }

  private cut(row: Float32Array): number[][] {
    const numTopk = row.length / this.plan.numRoutedLayers;
    return Array.from({ length: this.plan.numRoutedLayers }, (_, layer) => [
      ...row.subarray(layer * numTopk, (layer + 1) * numTopk),
    ]);
  }
}
