import { jobBusContract } from '../../../contracts/job_bus_contract.js';
import { folderUnderTest } from '../../../kit/jobs/buses_under_test.js';

jobBusContract('a folder', folderUnderTest);
