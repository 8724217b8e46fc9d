/** `expertwire generate`: prompts → text. */
import pc from 'picocolors';
import type { Argv } from 'yargs';
import type { Engine } from '../../head/engine.js';
import { checkGeneration, openModel } from '../../head/opened_model.js';
import { MAX_LOGPROBS, type GenerationRequest, type TokenLogprobs } from '../../protocol/request.js';
import type { CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { completionJson, type Completion, type Timing } from './completion.js';
import { configOf, engineOptions, withEngine, type EngineArgs } from '../engine/engine_options.js';
import { OrderedPrinter } from './ordered_printer.js';
import { checkPlotFile, writePlot } from '../base/plot_file.js';
import { readPrompts, type Prompt, type PromptArgs } from '../engine/prompts.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import { requestOf } from './request.js';
import { picturesOf, statsJson, summary } from './summary.js';

/** The options of `generate` as yargs parses them; undefined: as the configuration says. */
export interface GenerateArgs extends EngineArgs, PromptArgs {
  readonly maxNewTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly minTokens?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly ignoreEos?: boolean | undefined;
  readonly returnRoutedExperts?: boolean | undefined;
  readonly logprobs?: number | undefined;
  readonly plot?: string | undefined;
  readonly json?: boolean | undefined;
  readonly summary?: boolean | undefined;
}

/** Adds the options of `generate` to a command line, those of the engine included. */
export function generateOptions<T>(yargs: Argv<T>): Argv<T & GenerateArgs> {
  const prompts = 'Prompts:';
  const sampling = 'Sampling (default: greedy):';
  return engineOptions(yargs)
    .option('prompt', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'text to continue; repeatable',
      group: prompts,
    })
    .option('prompts', { type: 'string', describe: 'file with one prompt a line', group: prompts })
    .option('prompt-ids', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'a prompt as token ids: 5,17,3',
      group: prompts,
    })
    .option('chat', { type: 'boolean', describe: 'put each prompt into the chat template', group: prompts })
    .option('max-new-tokens', { type: 'number', describe: 'tokens to write per prompt (64)', group: sampling })
    .option('temperature', { type: 'number', describe: '0 = greedy', group: sampling })
    .option('top-k', { type: 'number', describe: 'only the k most likely tokens; 0 = all', group: sampling })
    .option('top-p', { type: 'number', describe: 'only the most likely tokens up to this sum', group: sampling })
    .option('min-p', { type: 'number', describe: 'only tokens this likely, relative to the best', group: sampling })
    .option('repetition-penalty', { type: 'number', describe: 'over 1: repeat less', group: sampling })
    .option('presence-penalty', { type: 'number', describe: 'over 0: less of what came already', group: sampling })
    .option('frequency-penalty', { type: 'number', describe: 'over 0: less of what came often', group: sampling })
    .option('min-tokens', { type: 'number', describe: 'no end before so many tokens (0)', group: sampling })
    .option('seed', {
      type: 'number',
      describe: 'another seed, another text; the same whatever the ranks (drawn from engine.seed, 0)',
      group: sampling,
    })
    .option('stop', { type: 'string', array: true, nargs: 1, describe: 'end before this text', group: sampling })
    .option('ignore-eos', { type: 'boolean', describe: "go on after the model's end token", group: sampling })
    .option('return-routed-experts', {
      type: 'boolean',
      describe: "with --json: each token's experts",
      group: 'Output:',
    })
    .option('logprobs', {
      type: 'number',
      describe: "with --json: each token's log-probability, and those of this many of the most likely (0 … 20)",
      group: 'Output:',
    })
    .option('plot', {
      type: 'string',
      describe: 'draw the load of experts and ranks, and balancedness over time: .svg or .html',
      group: 'Output:',
    })
    .option('json', { type: 'boolean', describe: 'one JSON object a prompt, then the statistics', group: 'Output:' })
    .option('summary', {
      type: 'boolean',
      describe: 'speed, bytes and expert load at the end (default: on a terminal)',
      group: 'Output:',
    });
}

/**
 * Continues all prompts at once, and prints them in order while they come.
 * @throws UsageError, OutputError, ConfigError, EngineError; what opening a model throws
 */
export async function generate(args: GenerateArgs, context: CommandContext): Promise<void> {
  checkPlotFile(args.plot);
  const config = await configOf(args, { generate: samplingArgs(args) });
  const model = await openModel(config);
  const prompts = await readPrompts(args, config, model.tokenizer);
  const logprobs = wholeNumber('--logprobs', args.logprobs, 0, MAX_LOGPROBS);
  for (const [i, prompt] of prompts.entries()) {
    checkGeneration(requestOf(config, prompt, i, { returnRoutedExperts: false }), model, config.model);
  }
  const work = async (engine: Engine, terminal: SharedTerminal): Promise<void> => {
    const isSummary = args.json !== true && (args.summary ?? context.stderr.isTTY === true);
    const show = args.json === true ? null : new TextView(prompts, terminal);
    const startMs = performance.now();
    const returnRoutedExperts = (prompt: Prompt): boolean =>
      args.returnRoutedExperts === true || (isSummary && prompt.label !== null);
    const run = (prompt: Prompt, i: number): Promise<Completion> =>
      complete(engine, prompt, {
        request: requestOf(config, prompt, i, { returnRoutedExperts: returnRoutedExperts(prompt), logprobs }),
        onText: (text) => show?.text(i, text),
        onEnd: () => show?.end(i),
        signal: context.signal,
      });
    const completions = await Promise.all(prompts.map(run));
    const elapsedMs = performance.now() - startMs;
    const firstTokenMs = Math.min(...completions.map((completion) => completion.firstTokenAtMs)) - startMs;
    const timing = { elapsedMs, firstTokenMs };
    if (args.json === true) writeJson(completions, args, engine, timing, context);
    if (args.plot !== undefined) await writePlot(args.plot, picturesOf(engine, config.model));
    if (isSummary) context.stderr.write(summary(engine, completions, timing));
  };
  const files = { outputs: { '--plot': args.plot }, inputs: { '--prompts': args.prompts } };
  const { engine } = config;
  // All prompts are known already, and nobody else has any.
  const max_num_waiting = Math.max(engine.max_num_waiting, prompts.length);
  await withEngine(args, { ...config, engine: { ...engine, max_num_waiting } }, model, context, work, files);
}

function samplingArgs(args: GenerateArgs): NonNullable<Parameters<typeof configOf>[1]>['generate'] {
  return {
    max_new_tokens: args.maxNewTokens,
    temperature: args.temperature,
    top_k: args.topK,
    top_p: args.topP,
    min_p: args.minP,
    repetition_penalty: args.repetitionPenalty,
    presence_penalty: args.presencePenalty,
    frequency_penalty: args.frequencyPenalty,
    min_tokens: args.minTokens,
    seed: args.seed,
    stop: args.stop,
    ignore_eos: args.ignoreEos,
    chat: args.chat,
  };
}

interface CompleteOptions {
  readonly request: GenerationRequest;
  readonly onText: (text: string) => void;
  readonly onEnd: () => void;
  readonly signal: AbortSignal;
}

async function complete(engine: Engine, prompt: Prompt, { request, ...options }: CompleteOptions): Promise<Completion> {
  const logprobs: TokenLogprobs[] = [];
  const tokenIds: number[] = [];
  let text = '';
  let firstTokenAtMs = Infinity;
  for await (const event of engine.generate(request, options.signal)) {
    text += event.text;
    const isBare = engine.tokenizer === undefined && event.kind === 'token';
    options.onText(isBare ? `${tokenIds.length === 0 ? '' : ' '}${event.tokenId}` : event.text);
    if (event.kind === 'token') {
      if (tokenIds.length === 0) firstTokenAtMs = performance.now();
      tokenIds.push(event.tokenId);
      if (event.logprobs !== null) logprobs.push(event.logprobs);
      continue;
    }
    if (event.kind === 'prompt') continue;
    options.onEnd();
    const { reason, seed, routedExperts, numDegradedTokens } = event;
    const asked = { logprobs: request.logprobs === undefined ? null : logprobs, routedExperts };
    return { prompt, tokenIds, text, finishReason: reason, seed, ...asked, numDegradedTokens, firstTokenAtMs };
  }
  throw new Error('the engine ended a request without saying why; please report this');
}

/** Streams text: bare for a single prompt, under a heading and after its prompt for several. */
class TextView {
  private readonly printer: OrderedPrinter;

  constructor(
    private readonly prompts: readonly Prompt[],
    terminal: SharedTerminal,
  ) {
    this.printer = new OrderedPrinter(prompts.length, (text) => terminal.text(text));
    if (prompts.length > 1) prompts.forEach((prompt, i) => this.printer.push(i, this.heading(prompt, i)));
  }

  text(i: number, text: string): void {
    this.printer.push(i, text);
  }

  end(i: number): void {
    const isLast = i === this.prompts.length - 1;
    this.printer.push(i, this.prompts.length > 1 && !isLast ? '\n\n' : '\n');
    this.printer.end(i);
  }

  private heading({ label, text, tokenIds }: Prompt, i: number): string {
    const name = label ?? `prompt ${i + 1}`;
    return `${pc.bold(`── ${name} ──`)}\n${pc.dim(text ?? tokenIds.join(','))}`;
  }
}

function writeJson(
  completions: readonly Completion[],
  args: GenerateArgs,
  engine: Engine,
  timing: Timing,
  { stdout }: CommandContext,
): void {
  for (const completion of completions) {
    stdout.write(`${JSON.stringify(completionJson(completion, args.returnRoutedExperts === true))}\n`);
  }
  stdout.write(`${JSON.stringify({ stats: statsJson(engine, timing) })}\n`);
}
