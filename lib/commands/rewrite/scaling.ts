/** What `expertwire quantise --calibration` does before it writes: a text tells which channels of experts matter. */
import { kernelProducts } from '../../rewrite/scaling/expert_outputs.js';
import { layerGroups, MOST_ROW_BYTES, RowWatch } from '../../rewrite/scaling/expert_rows.js';
import type { Roundings } from '../../rewrite/scaling/calibrated_expert.js';
import { searchLayer, type FoundScaling } from '../../rewrite/scaling/layer_search.js';
import { expertsOf } from '../../rewrite/quantise/scaling.js';
import { expertPrefix } from '../../model/spec/tensor_names.js';
import { moeLayersOf } from '../../model/spec/spec.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { ProgressBar } from '../base/progress_bar.js';
import { calibrate, calibrationConfig, withReader, type CalibrationArgs } from './calibration.js';

/** Has the model read the text, and searches the factors of each layer with experts that are rounded. Rows of a few layers are kept at a time, and the text is read once for each of these. */
export async function findScalings(
  args: CalibrationArgs & { readonly dir: string },
  asked: Omit<Roundings, 'products'>,
  context: CommandContext,
): Promise<FoundScaling[]> {
  const roundings = { ...asked, products: kernelProducts() };
  const { spec } = roundings.source;
  const layers = moeLayersOf(spec).filter((layer) =>
    expertsOf(spec, layer).some((expert) =>
      ['gate_proj', 'up_proj', 'down_proj'].some((part) =>
        roundings.isTarget(`${expertPrefix(layer, expert)}.${part}.weight`),
      ),
    ),
  );
  if (layers.length === 0)
    throw new UsageError('--calibration scales routed experts, and none is quantised; leave it out');
  const config = await calibrationConfig(args, context.env);
  const found: FoundScaling[] = [];
  await withReader(args, config, context, async (engine, pieces) => {
    const numTokens = pieces.reduce((sum, { length }) => sum + length, 0);
    for (const group of layerGroups(spec, layers, numTokens, MOST_ROW_BYTES)) {
      const watch = new RowWatch(spec, group);
      await calibrate(engine, pieces, () => watch.piece(), context);
      const progress = new ProgressBar(context.stderr, 'scaling');
      try {
        for (const seen of watch.seen()) {
          found.push(await searchLayer(roundings, seen));
          progress.update(found.length / layers.length);
        }
      } finally {
        progress.close();
      }
    }
  });
  return found;
}
