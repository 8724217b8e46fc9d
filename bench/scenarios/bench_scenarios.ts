/** `expertwire bench scenarios`: every scenario's load against every scenario's configuration, in one table. */
import type { CommandContext } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { checkOutputs } from '../../lib/commands/base/output_file.js';
import { SCENARIOS, scenarioConfig } from '../../lib/config/package_files.js';
import { writeFigures } from '../base/figures_file.js';
import { thisMachine } from '../base/machine.js';
import { accepted, benchParser } from '../base/options.js';
import { measureServe } from '../serve/bench_serve.js';
import { parseOptions as parseServeOptions, type ServeOptions } from '../serve/options.js';
import { header, scenarioTable, type ScenarioRow } from './report.js';
import { readScenario, type Scenario } from './scenario_file.js';
import { withServer } from './served_config.js';

/** Starts a server for each configuration in turn, plays all loads against it, and prints the table. @throws UsageError, ServeBenchError, OutputError */
export async function benchScenarios(args: readonly string[], context: CommandContext): Promise<void> {
  const { configs, set, json, numPrompts, seed } = accepted(parse(args));
  await checkOutputs({ '--json': json });
  const scenarios = await Promise.all(configs.map(readScenario));
  const rows: ScenarioRow[] = [];
  for (const { name, file } of scenarios) {
    const { env, signal } = context;
    await withServer({ file, set, env, signal }, async (url) => {
      // A seed for each load: with one, the prompts of several would begin alike, and one load would warm the cache for the next.
      for (const [i, load] of scenarios.entries())
        rows.push(await rowOf(name, load, serveOptions(load, url, numPrompts, seed + i), context));
    });
  }
  context.stdout.write(`${header(thisMachine(), seed, scenarios)}\n\n${scenarioTable(rows)}\n`);
  await writeFigures(json, { machine: thisMachine(), seed, scenarios, rows });
}

function parse(args: readonly string[]) {
  const what = 'What each configuration of configs/scenarios trades for what: all of their loads against each of them.';
  const given = benchParser('scenarios', args, what)
    .option('configs', {
      type: 'string',
      requiresArg: true,
      describe: `scenarios, or YAML files with a load [${SCENARIOS.join(',')}]`,
    })
    .option('num-prompts', { type: 'number', requiresArg: true, describe: 'of each load, for trials [as it says]' })
    .option('seed', { type: 'number', default: 1, describe: 'of the loads' })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'any configuration key, for all of them',
    })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  wholeNumber('--num-prompts', given.numPrompts, 1);
  seedNumber('--seed', given.seed);
  const configs = (given.configs === undefined ? SCENARIOS : list(given.configs)).map(configOf);
  return { configs, set: given.set, json: given.json, numPrompts: given.numPrompts, seed: given.seed };
}

/** A scenario's name, or a file. */
function configOf(text: string): string {
  const name = SCENARIOS.find((each) => each === text);
  return name === undefined ? text : scenarioConfig(name);
}

function serveOptions({ loadArgs }: Scenario, url: string, numPrompts: number | undefined, seed: number): ServeOptions {
  const options = parseServeOptions([...loadArgs, '--url', url, '--seed', String(seed)]);
  return { ...options, numPrompts: numPrompts ?? options.numPrompts };
}

async function rowOf(
  config: string,
  load: Scenario,
  options: ServeOptions,
  context: CommandContext,
): Promise<ScenarioRow> {
  const { figures, cached, client } = await measureServe(options, context);
  const { ttft, tpot, itl, e2el } = figures.latencies;
  const numAll = figures.numCompleted + figures.numFailed;
  return {
    ...{ config, load: load.name, requests: numAll, failed: figures.numFailed },
    ttft_median_ms: ttft?.median ?? null,
    ttft_p99_ms: ttft?.percentiles.at(-1)?.[1] ?? null,
    tpot_median_ms: tpot?.median ?? null,
    itl_p99_ms: itl?.percentiles.at(-1)?.[1] ?? null,
    e2el_median_ms: e2el?.median ?? null,
    output_tokens_per_s: figures.outputThroughput,
    goodput_per_s: figures.requestGoodput,
    good_share: figures.numGood === null ? null : figures.numGood / numAll,
    cached_share: cached.measured && cached.measured.cachedTokens / Math.max(1, cached.measured.promptTokens),
    client_is_late: client.isLate,
  };
}
