/** `expertwire inspect`: what a checkpoint is, what of it runs, and what ranks would hold. */
import type { CommandContext } from '../base/context.js';
import { inspectFolder } from './inspection.js';
import { inspectConfig, rankNumbers, type InspectArgs } from './inspect_options.js';
import { inspectionJson, inspectionText } from './report.js';

/**
 * Prints lines, or with `--json` one object. A model that isn't supported, and files that are damaged, are told in them and are no failure.
 * @throws ConfigError, UsageError; WeightError for a folder without a config.json
 */
export async function inspect(args: InspectArgs, { stdout, env }: CommandContext): Promise<void> {
  const numbers = rankNumbers(args);
  const inspection = await inspectFolder(await inspectConfig(args, env), numbers);
  stdout.write(args.json === true ? `${JSON.stringify(inspectionJson(inspection))}\n` : inspectionText(inspection));
}
