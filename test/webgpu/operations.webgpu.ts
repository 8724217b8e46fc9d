import { describeOperations } from '../contracts/operations_contract.js';
import { useWebgpu } from './use_webgpu.js';

await useWebgpu();

describeOperations({ backend: 'webgpu', isFused: true });
