/** The dense part of a whole model over one sequence, slow and obvious, in float64; routed experts give back the rows that they get. */
import { windowOf, type ModelSpec } from '../../lib/model/spec/spec.js';
import { chosenRef, gqaRef, layerNormRef, linearRef, mlaRef, normRef, type WeightsRef } from './attention_ref.js';
import { swigluRef } from './swiglu_ref.js';

type Row = readonly number[];

/** Logits of every token. `weights`: by the names of a checkpoint. */
export function decoderRef(tokens: readonly number[], weights: WeightsRef, spec: ModelSpec): Row[] {
  const { hiddenSize: hidden, multipliers, layers } = spec;
  const rowOf = (name: string, row: number): number[] => [...weights[name]!.subarray(row * hidden, (row + 1) * hidden)];
  const norm = (name: string, row: Row): Row => {
    const weight = weights[`${name}.weight`]!.map((value) => value + spec.normOffset);
    return spec.norm === 'layer'
      ? layerNormRef(weight, weights[`${name}.bias`]!, row, spec.normEps)
      : normRef(weight, row, spec.normEps);
  };
  const plus = (x: Row, y: Row): Row => x.map((value, i) => value + multipliers.residual * y[i]!);
  let x: Row[] = tokens.map((token) =>
    rowOf('model.embed_tokens.weight', token).map((value) => multipliers.embedding * value),
  );
  let chosen: readonly Row[] | null = null;
  for (const [i, layer] of layers.entries()) {
    const prefix = `model.layers.${i}`;
    const normed = x.map((row) => norm(`${prefix}.input_layernorm`, row));
    const own = partsOf(weights, `${prefix}.self_attn.`, spec.normOffset);
    chosen = chosenBy(normed, own, spec, i) ?? chosen;
    const attended = attentionRef(normed, own, spec, i, chosen);
    x = x.map((row, t) => plus(row, attended[t]!));
    x = x.map((row) => {
      const normed = norm(`${prefix}.post_attention_layernorm`, row);
      if (layer.kind === 'moe') return plus(row, normed);
      const [gate, up, down] = ['gate', 'up', 'down'].map((part) => weights[`${prefix}.mlp.${part}_proj.weight`]!);
      const shape = { hidden, intermediate: layer.intermediateSize, gate: gate!, up: up!, down: down! };
      return plus(row, swigluRef(normed, shape));
    });
  }
  const head = weights['lm_head.weight'] ?? weights['model.embed_tokens.weight']!;
  return x.map((row) =>
    linearRef(head, norm('model.norm', row)).map(
      (logit, v) => multipliers.logits * (logit + (weights['lm_head.bias']?.[v] ?? 0)),
    ),
  );
}

function partsOf(weights: WeightsRef, prefix: string, normOffset: number): WeightsRef {
  const own = Object.entries(weights).flatMap(([name, values]) => {
    if (!name.startsWith(prefix)) return [];
    const part = name.slice(prefix.length).replace(/\.weight$/, '');
    return [[part, part.endsWith('norm') ? values.map((value) => value + normOffset) : values] as const];
  });
  return Object.fromEntries(own);
}

/** Null: the layer has no indexer. */
function chosenBy(x: readonly Row[], own: WeightsRef, { attention, rope }: ModelSpec, layer: number): Row[] | null {
  const hasOwn = attention.kind === 'mla' && attention.indexer?.isOwn[layer] === true;
  return hasOwn ? chosenRef(x, own, attention, rope, attention.latentNormEps) : null;
}

function attentionRef(
  x: readonly Row[],
  own: WeightsRef,
  spec: ModelSpec,
  layer: number,
  chosen: readonly Row[] | null,
): Row[] {
  const { attention, rope, normEps, layers } = spec;
  return attention.kind === 'mla'
    ? mlaRef(x, own, attention, rope, attention.latentNormEps, chosen)
    : gqaRef(x, own, attention, rope, normEps, windowOf(layers[layer]!));
}
