/**
 * NVFP4: codes of four bits, low nibble first, an FP8 scale for each 16 of a row, and one float32 for all: `weight_scale_2`, which scales are multiplied with (modelopt), or
 * `weight_global_scale`, by which they are divided (compressed-tensors). Why: docs/decisions/formats.md#tensors-tell-their-format
 */
import type { TensorInfo } from '../../weights/safetensors_header.js';
import { e2m1Values } from '../../../compute/base/small_floats.js';
import { floatsIn, rowsPart, scalesOf, sharedPart, refuseZeros, unknownDtype, type Format } from './format.js';
import type { DecodeRows } from './packing.js';

/** Values that share a scale. */
const GROUP = 16;

/** U8 beside scales of E4M3. */
export const nvfp4Packing: Format = ({ checkpoint }, at, [rows, columns]) => {
  const { base, ending } = at;
  const [scales, second, global] = ['_scale', '_scale_2', '_global_scale'].map((name) =>
    checkpoint.find(`${base}.weight${name}`),
  );
  const packed = checkpoint.find(second === undefined ? `${base}.weight_packed` : base + ending);
  const overall = second ?? global;
  if (packed?.dtype !== 'U8' || scales?.dtype !== 'F8_E4M3' || overall === undefined || ending !== '.weight') {
    return undefined;
  }
  if (overall.dtype !== 'F32') throw unknownDtype(overall, 'of a scale');
  if (columns === undefined || at.lines.axis === 1) return undefined;
  refuseZeros(checkpoint, base);
  if (columns % GROUP !== 0) throw unknownDtype(packed, 'with rows that are no whole groups');
  const numGroups = columns / GROUP;
  const parts = [
    rowsPart(packed, at, rows, [columns / 2]),
    rowsPart(scales, at, rows, [numGroups]),
    sharedPart(overall, { entry: null }, []),
  ];
  return { dtype: 'f32', parts, decode: decodeNvfp4(scales, overall === global, numGroups) };
};

function decodeNvfp4(scaleTensor: TensorInfo, isDivided: boolean, numGroups: number): DecodeRows {
  return ([codes, scaleBytes, overallBytes], _from, numRows, out) => {
    const values = e2m1Values();
    const overall = floatsIn(overallBytes!)[0]!;
    const scales = scalesOf(scaleBytes!, scaleTensor).map((scale) => (isDivided ? scale / overall : scale * overall));
    const target = floatsIn(out);
    for (let group = 0; group < numRows * numGroups; group++) {
      const scale = scales[group]!;
      const first = group * GROUP;
      for (let i = 0; i < GROUP; i += 2) {
        const code = codes![(first + i) >> 1]!;
        target[first + i] = values[code & 15]! * scale;
        target[first + i + 1] = values[code >> 4]! * scale;
      }
    }
  };
}
