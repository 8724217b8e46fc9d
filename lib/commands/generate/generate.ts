/** `expertwire generate`: prompts → text. */
import pc from 'picocolors';
import type { Engine } from '../../head/engine.js';
import { checkGeneration, openModel } from '../../head/opened_model.js';
import { MAX_LOGPROBS, type GenerationRequest, type RouterLogits, type TokenLogprobs } from '../../protocol/request.js';
import type { CommandContext } from '../base/context.js';
import { wholeNumber } from '../base/numbers.js';
import { STANDARD_INPUT } from '../base/standard_input.js';
import { completionJson, type Completion, type Timing } from './completion.js';
import type { EngineStart } from '../engine/engine_start.js';
import { routerLogitsShare } from '../engine/recording.js';
import { withEngine } from '../engine/with_engine.js';
import type { GenerateArgs } from './generate_options.js';
import { OrderedPrinter } from './ordered_printer.js';
import { checkPlotFile, writePlot } from '../base/plot_file.js';
import { readPrompts, type Prompt } from '../engine/prompts.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import { requestOf } from '../../head/config_request.js';
import { statsJson } from './stats_json.js';
import { picturesOf } from './pictures.js';
import { summary } from './summary.js';

/**
 * Continues all prompts at once, and prints them in order while they come.
 * @throws UsageError, OutputError, ConfigError, EngineError; what opening a model throws
 */
export async function generate(
  args: GenerateArgs,
  { config, ranks }: EngineStart,
  context: CommandContext,
): Promise<void> {
  checkPlotFile(args.plot);
  const model = await openModel(config);
  const prompts = await readPrompts(args, config, model.tokenizer, context);
  const logprobs = wholeNumber('--logprobs', args.logprobs, 0, MAX_LOGPROBS);
  const share = routerLogitsShare(args);
  const returnRouterLogits = args.json === true ? share : undefined;
  for (const [i, prompt] of prompts.entries()) {
    const asked = { returnRoutedExperts: false, returnRouterLogits };
    checkGeneration(requestOf(config, prompt, i, asked), model, config.model);
  }
  const work = async (engine: Engine, terminal: SharedTerminal): Promise<void> => {
    const isSummary = args.json !== true && (args.summary ?? context.stderr.isTTY === true);
    const show = args.json === true ? null : new TextView(prompts, terminal);
    const startMs = performance.now();
    const returnRoutedExperts = (prompt: Prompt): boolean =>
      args.returnRoutedExperts === true || ((isSummary || args.plot !== undefined) && prompt.label !== null);
    const run = (prompt: Prompt, i: number): Promise<Completion> =>
      complete(engine, prompt, {
        request: requestOf(config, prompt, i, {
          ...{ returnRouterLogits, logprobs },
          returnRoutedExperts: returnRoutedExperts(prompt),
        }),
        onText: (text) => show?.text(i, text),
        onEnd: () => show?.end(i),
        signal: context.signal,
      });
    const completions = await Promise.all(prompts.map(run));
    const elapsedMs = performance.now() - startMs;
    const firstTokenMs = Math.min(...completions.map((completion) => completion.firstTokenAtMs)) - startMs;
    const timing = { elapsedMs, firstTokenMs };
    if (args.json === true) writeJson(completions, args, engine, timing, context);
    if (args.plot !== undefined) await writePlot(args.plot, picturesOf(engine, config.model, completions));
    if (isSummary) context.stderr.write(summary(engine, completions, timing));
  };
  const files = {
    outputs: { '--plot': args.plot },
    inputs: {
      '--prompts': args.prompts === STANDARD_INPUT ? undefined : args.prompts,
      '--tools': args.tools,
      '--documents': args.documents,
      ...Object.fromEntries(
        (args.messages ?? []).map((file, i) => [i === 0 ? '--messages' : `--messages (${i + 1})`, file]),
      ),
    },
  };
  const { engine } = config;
  // All prompts are known already, and nobody else has any.
  const max_num_waiting = Math.max(engine.max_num_waiting, prompts.length);
  const start = { ranks, config: { ...config, engine: { ...engine, max_num_waiting } } };
  await withEngine(args, start, model, context, work, files);
}

interface CompleteOptions {
  readonly request: GenerationRequest;
  readonly onText: (text: string) => void;
  readonly onEnd: () => void;
  readonly signal: AbortSignal;
}

async function complete(engine: Engine, prompt: Prompt, { request, ...options }: CompleteOptions): Promise<Completion> {
  const logprobs: TokenLogprobs[] = [];
  const routerLogits: RouterLogits[] = [];
  const tokenIds: number[] = [];
  let text = '';
  let firstTokenAtMs = Infinity;
  for await (const event of engine.generate(request, options.signal)) {
    text += event.text;
    const isBare = engine.tokenizer === undefined && event.kind === 'token';
    options.onText(isBare ? `${tokenIds.length === 0 ? '' : ' '}${event.tokenId}` : event.text);
    if (event.kind === 'token' || event.kind === 'finished') routerLogits.push(...(event.routerLogits ?? []));
    if (event.kind === 'token') {
      if (tokenIds.length === 0) firstTokenAtMs = performance.now();
      tokenIds.push(event.tokenId);
      if (event.logprobs !== null) logprobs.push(event.logprobs);
      continue;
    }
    if (event.kind !== 'finished') continue;
    options.onEnd();
    const { reason, seed, routedExperts, numDegradedTokens } = event;
    const isLogits = request.returnRouterLogits !== undefined;
    const asked = {
      logprobs: request.logprobs === undefined ? null : logprobs,
      routedExperts,
      routerLogits: isLogits ? routerLogits : null,
    };
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
