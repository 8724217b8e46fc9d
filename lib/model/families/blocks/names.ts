/** What several families call the tensors of tensor_names.ts. */
import type { StoredNames } from '../../spec/spec.js';

/** Mixtral's, and of those after it. */
export const BLOCK_SPARSE_NAMES: StoredNames['replace'] = [
  ['.mlp.', '.block_sparse_moe.'],
  ['.gate_proj.', '.w1.'],
  ['.up_proj.', '.w3.'],
  ['.down_proj.', '.w2.'],
];
