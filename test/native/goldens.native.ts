import { describeGolden, GOLDEN_MODELS } from '../contracts/golden_contract.js';

for (const name of GOLDEN_MODELS) {
  describeGolden(name, { compute: 'tensors', backend: 'tensorflow', isRowExact: false });
}
