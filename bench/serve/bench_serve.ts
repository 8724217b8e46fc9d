/** `expertwire bench serve`: load on a server of the OpenAI API, and what it came to. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { writePlotSpec } from '../../lib/commands/base/plot_file.js';
import { ProgressBar } from '../../lib/commands/base/progress_bar.js';
import { writeFigures } from '../base/figures_file.js';
import { accepted } from '../base/options.js';
import { OpenAiClient } from './client/openai_client.js';
import { parseOptions, type ServeOptions } from './options.js';
import { serveSpec } from './plot.js';
import { prepareLoad } from './prepare.js';
import { report } from './report.js';
import { resultOf, type ServeResult } from './result.js';
import { resultJson } from './result_json.js';
import { runLoad } from './run_load.js';

/** Runs the load, prints the table, and writes the files that were asked for. @throws UsageError, ServeBenchError, OutputError */
export async function benchServe(args: readonly string[], context: CommandContext): Promise<void> {
  const options = accepted(parseOptions(args));
  const { json, plot, dataset } = options;
  await checkOutputs({ '--json': json, '--plot': plot }, 'file' in dataset ? { '--file': dataset.file } : {});
  const result = await measureServe(options, context);
  context.stdout.write(report(result, options));
  await writeFigures(json, resultJson(result, options));
  if (plot !== undefined) {
    const title = `${result.model}: ${options.numPrompts} × ${dataset.kind} over ${options.endpoint}`;
    await writePlotSpec(plot, title, serveSpec(title, result));
  }
}

/** One load on one server. @throws ServeBenchError where it can't be measured at all */
export async function measureServe(
  options: ServeOptions,
  { stderr, env, signal }: Pick<CommandContext, 'stderr' | 'env' | 'signal'>,
): Promise<ServeResult> {
  const { url, endpoint, timeoutMs, dataset } = options;
  const apiKey = env.OPENAI_API_KEY === '' ? undefined : env.OPENAI_API_KEY;
  const client = new OpenAiClient({ url, endpoint, timeoutMs, apiKey, keepsText: dataset.kind === 'turns' });
  try {
    const prepared = await prepareLoad(options, client);
    signal.throwIfAborted();
    const numRequests = prepared.plan.conversations.reduce((sum, { turns }) => sum + turns.length, 0);
    const progress = new ProgressBar(stderr, `${numRequests} requests`);
    let numDone = 0;
    const run = await runLoad(prepared.plan, client, signal, () => progress.update(++numDone / numRequests)).finally(
      () => progress.close(),
    );
    signal.throwIfAborted();
    return resultOf(run, prepared, options);
  } finally {
    client.close();
  }
}
