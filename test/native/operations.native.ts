import { describeOperations } from '../contracts/operations_contract.js';

describeOperations({ backend: 'tensorflow', isFused: true });
