import { coordinatorContract } from '../../../contracts/coordinator_contract.js';
import { folderUnderTest } from '../../../kit/jobs/buses_under_test.js';

coordinatorContract('a folder', folderUnderTest);
