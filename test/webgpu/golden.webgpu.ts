import { describeGolden, GOLDEN_MODELS } from '../contracts/golden_contract.js';
import { useWebgpu } from './use_webgpu.js';

await useWebgpu();

for (const name of GOLDEN_MODELS) {
  describeGolden(name, { compute: 'tensors', backend: 'webgpu', isRowExact: false, maxError: 1e-3 });
}
