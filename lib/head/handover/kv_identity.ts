/** What an engine's keys and values are, beside those of other engines. Pure. */
import { hash, randomUUID } from 'node:crypto';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import { stateFloatsOf } from '../../model/spec/cache_layout.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import { kvShapeOf } from '../../protocol/handover.js';
import type { KvIdentity } from '../../protocol/kv_source.js';
import type { PrefixSharing } from '../scheduling/blocks/prefix_sharing.js';

/** `fingerprint`: of its folder; null: nobody can say which model it is, so that it is like no other. */
export function kvIdentityOf(
  fingerprint: string | null,
  spec: ModelSpec,
  dtype: KvDtype,
  sharing: PrefixSharing | null,
): KvIdentity {
  const hasStates = stateFloatsOf(spec.layers, spec.hiddenSize) > 0;
  return {
    fingerprint: hash('sha256', JSON.stringify([fingerprint ?? randomUUID(), spec]), 'hex'),
    shape: hasStates ? null : kvShapeOf(spec, dtype),
    sharing: sharing && hash('sha256', JSON.stringify([sharing.seed, sharing.separatesForms]), 'hex'),
  };
}
