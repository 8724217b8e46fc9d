import { describeKvCache } from '../../contracts/kv_cache_contract.js';

describeKvCache({ compute: 'kernels', backend: 'wasm' });
describeKvCache({ compute: 'kernels', backend: 'wasm', numMemories: 2 });
describeKvCache({ compute: 'tensors', backend: 'wasm' });
describeKvCache({ compute: 'tensors', backend: 'cpu' });
