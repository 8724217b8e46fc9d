import { describeKvCache } from '../../contracts/kv_cache_contract.js';

describeKvCache({ compute: 'kernels', backend: 'wasm' });
describeKvCache({ compute: 'kernels', backend: 'wasm', numMemories: 2 });
describeKvCache({ compute: 'kernels', backend: 'wasm', kv: 'bf16' });
describeKvCache({ compute: 'kernels', backend: 'wasm', kv: 'int8' });
describeKvCache({ compute: 'kernels', backend: 'wasm', kv: 'int8', numMemories: 2 });
describeKvCache({ compute: 'tensors', backend: 'wasm' });
describeKvCache({ compute: 'tensors', backend: 'cpu' });
