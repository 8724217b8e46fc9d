/** What help says of each command. */
import type { CommandHelp } from './command_help.js';
import { JOBS_HELP } from './jobs_help.js';
import { MACHINE_HELP } from './machine_help.js';
import { MEASURE_HELP } from './measure_help.js';
import { MODEL_HELP } from './model_help.js';
import { RUN_HELP } from './run_help.js';
import { SERVE_HELP } from './serve_help.js';

/** By the command's name. */
export const COMMAND_HELPS: Readonly<Record<string, CommandHelp>> = {
  ...RUN_HELP,
  ...SERVE_HELP,
  ...MODEL_HELP,
  ...MEASURE_HELP,
  ...JOBS_HELP,
  ...MACHINE_HELP,
};
