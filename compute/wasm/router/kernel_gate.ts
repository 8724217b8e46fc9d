/** An MoE layer's norm and router. Shape suffixes: T tokens, H hidden, E experts, K choices per token. */
import { InternalError } from '../../../base/coded_error.js';
import { ExpertError } from '../../base/errors.js';
import type { NormWeights } from '../../base/norm_weights.js';
import { checkBias, notFiniteLogit, type GateSpec, type Routing } from '../../base/gate_spec.js';
import { Descriptor, type Fields } from '../memory/descriptor.js';
import { GrowingBlock } from '../memory/growing_block.js';
import type { KernelMatrix } from '../memory/kernel_matrix.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { KernelNorm } from '../memory/kernel_norm.js';
import { KernelVector } from '../memory/kernel_vector.js';
import { ROUTED, ROUTER, ROUTE_LAYER } from '../memory/layouts.js';
import { padded } from '../memory/resident_dtype.js';
import { routerFields } from './router_fields.js';

/** The weights of an MoE layer's norm and router. */
export interface KernelGateWeights {
  /** Before the router and the experts, of H channels. */
  readonly norm: NormWeights;
  /** [E, H] */
  readonly gate: KernelMatrix;
  /** Added to the logits. */
  readonly gateBias_E: Float32Array | null;
  /** Takes part in the selection only. */
  readonly bias_E: Float32Array | null;
}

/** What {@link KernelGate.route} leaves in the memory; one serves all layers of a model. */
export class KernelRouted {
  private readonly descriptor: Descriptor<typeof ROUTED>;
  /** What the descriptor says. */
  private fields: Fields<typeof ROUTED> = {
    normed: 0,
    logits: 0,
    topkIdx: 0,
    topkWeights: 0,
    scratch: 0,
    scratchBytes: 0,
  };
  private readonly normedBlock: GrowingBlock;
  private readonly logits: GrowingBlock;
  /** Indices, then weights. */
  private readonly choices: GrowingBlock;
  private readonly scratch: GrowingBlock;

  constructor(private readonly memory: KernelMemory) {
    this.descriptor = new Descriptor(memory, ROUTED, this.fields);
    this.normedBlock = new GrowingBlock(memory);
    this.logits = new GrowingBlock(memory);
    this.choices = new GrowingBlock(memory);
    this.scratch = new GrowingBlock(memory);
  }

  /** Of the normed rows [T · padded(H)], which the experts take. */
  get normed(): number {
    return this.normedBlock.address;
  }

  /** Of the descriptor, with room for a step. */
  reserve(numTokens: number, hidden: number, { numExperts, numTopk }: GateSpec, scratchBytes: number): number {
    const numChoices = numTokens * numTopk;
    const normed = this.normedBlock.reserve(4 * numTokens * padded(hidden));
    const logits = this.logits.reserve(4 * numTokens * numExperts);
    const topkIdx = this.choices.reserve(8 * numChoices);
    const scratch = this.scratch.reserve(scratchBytes);
    const topkWeights = topkIdx + 4 * numChoices;
    const { numBytes: roomBytes } = this.scratch;
    const { fields } = this;
    const isSame =
      normed === fields.normed &&
      logits === fields.logits &&
      topkWeights === fields.topkWeights &&
      topkIdx === fields.topkIdx &&
      scratch === fields.scratch &&
      roomBytes === fields.scratchBytes; // what grew may lie where it lay
    // The layers of a step, and steps of one size, write nothing.
    if (!isSame) {
      this.fields = { normed, logits, topkIdx, topkWeights, scratch, scratchBytes: roomBytes };
      this.descriptor.set(this.fields);
    }
    return this.descriptor.address;
  }

  /** A copy. */
  routing(numChoices: number): Routing {
    const { buffer } = this.memory.copyOut(this.choices.address, 2 * numChoices);
    return {
      topkIdx: new Int32Array(buffer, 0, numChoices),
      topkWeights: new Float32Array(buffer, 4 * numChoices, numChoices),
    };
  }

  /** A copy of the last step's logits [T·E], with the router's bias. */
  allLogits(numLogits: number): Float32Array {
    return this.memory.copyOut(this.logits.address, numLogits);
  }

  /** A logit of the last step by its index in [T·E], also one that isn't finite. */
  logit(index: number): number {
    return this.memory.floats(this.logits.address, index + 1)[index]!;
  }

  /** Frees its descriptor and all areas. */
  dispose(): void {
    this.descriptor.dispose();
    for (const block of [this.normedBlock, this.logits, this.choices, this.scratch]) block.dispose();
  }
}

/** Owns its weights. */
export class KernelGate {
  /** [E] what it adds for the selection alone; null: nothing. */
  readonly bias_E: Float32Array | null;
  private readonly hidden: number;
  private readonly scratchBytes: number;
  private readonly layer: Descriptor<typeof ROUTE_LAYER>;
  private readonly parts: readonly { dispose(): void }[];

  /** @throws ExpertError INVALID_ARGUMENT for weights of another shape, NOT_FINITE for a bias that isn't, OUT_OF_MEMORY */
  constructor(
    private readonly memory: KernelMemory,
    readonly spec: GateSpec,
    weights: KernelGateWeights,
  ) {
    checkWeights(spec, weights);
    const { gate, gateBias_E, bias_E } = weights;
    const norm = new KernelNorm(memory, weights.norm);
    const gateBias = gateBias_E && new KernelVector(memory, gateBias_E);
    const bias = bias_E && new KernelVector(memory, bias_E);
    const router = new Descriptor(memory, ROUTER, routerFields(spec, bias?.address ?? 0));
    const hiddenSize = weights.norm.weight.length;
    const fields = {
      ...{ hiddenSize, norm: norm.address, gate: gate.address, router: router.address },
      gateBias: gateBias?.address ?? 0,
    };
    this.bias_E = bias_E;
    this.hidden = hiddenSize;
    this.scratchBytes = memory.kernels.routeBytes(router.address);
    this.layer = new Descriptor(memory, ROUTE_LAYER, fields);
    this.parts = [gate, norm, router, this.layer, ...[gateBias, bias].filter((part) => part !== null)];
  }

  /**
   * Norms x [T · padded(H)] into `routed` and chooses experts by it. x stays as it is.
   * @throws ExpertError NOT_FINITE with token and expert, as `selectExperts` does; OUT_OF_MEMORY
   */
  route(x: number, numTokens: number, routed: KernelRouted): Routing {
    const { numExperts, numTopk } = this.spec;
    const to = routed.reserve(numTokens, this.hidden, this.spec, this.scratchBytes);
    const outcome = this.memory.kernels.routeLayer(this.layer.address, x, numTokens, to);
    if (outcome > 0) throw new InternalError(`a router wants ${outcome} bytes of scratch memory, and has fewer`);
    const wrong = -1 - outcome;
    if (wrong >= 0) throw notFiniteLogit(wrong % numExperts, Math.floor(wrong / numExperts), routed.logit(wrong));
    return routed.routing(numTokens * numTopk);
  }

  /** Frees all weights that it owns, {@link KernelGateWeights.gate} too. */
  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}

function checkWeights({ numExperts }: GateSpec, { norm, gate, gateBias_E, bias_E }: KernelGateWeights): void {
  const biases = [gateBias_E, bias_E].filter((bias) => bias !== null);
  const isRight =
    gate.rows === numExperts &&
    gate.columns === norm.weight.length &&
    biases.every(({ length }) => length === numExperts);
  if (!isRight) {
    const found = biases.length === 0 ? 'no' : biases.map(({ length }) => length).join(' and ');
    throw new ExpertError(
      'INVALID_ARGUMENT',
      `a gate of [${gate.rows}, ${gate.columns}] with ${found} biases is not one of ${numExperts} experts and ` +
        `${norm.weight.length} hidden channels; check the checkpoint's shapes`,
    );
  }
  for (const bias of biases) checkBias(bias);
}
