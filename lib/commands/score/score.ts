/** `expertwire score`: log-probabilities, perplexity and routed experts of a text; full logits to a .npy file. */
import { readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { checkTokens, openModel } from '../../head/opened_model.js';
import type { ScoreResult } from '../../protocol/request.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { outputFailed, type OutputError } from '../base/output_file.js';
import type { EngineStart } from '../engine/engine_start.js';
import { checkFiles, withEngine } from '../engine/with_engine.js';
import { NpyWriter } from './npy_writer.js';
import { parseIds } from '../engine/prompts.js';
import type { ScoreArgs } from './score_options.js';

/**
 * Scores one text and prints a line per token, or with `--json` one object.
 * @throws UsageError for a text that is missing or shorter than 2 tokens; OutputError
 */
export async function score(args: ScoreArgs, start: EngineStart, context: CommandContext): Promise<void> {
  const { config } = start;
  const text = await textToScore(args);
  const model = await openModel(config);
  const tokenIds = text === null ? parseIds(args.ids!) : encode(text, model.tokenizer, config.model);
  if (tokenIds.length < 2)
    throw new UsageError(
      `${tokenIds.length === 1 ? '1 token' : `${tokenIds.length} tokens`} to score; give a text of at least 2`,
    );
  checkTokens(tokenIds, 0, model);
  const files = { outputs: { '--logits': args.logits }, inputs: { '--file': args.file } };
  await checkFiles(args, config, files);
  const writer = args.logits === undefined ? null : await openNpy(args.logits, [tokenIds.length, model.spec.vocabSize]);
  const run = (): Promise<void> =>
    withEngine(args, start, model, context, async (engine) => {
      const failed = (cause: unknown): never => {
        throw logitsFailed(args.logits!, cause);
      };
      const onLogits = writer && { onLogits: (logits: Float32Array) => writer.write(logits).catch(failed) };
      const result = await engine.score({ tokenIds, ...onLogits }, context.signal);
      const print = args.json === true ? printJson : printTable;
      print(tokenIds, result, engine.tokenizer, context);
    });
  await closing(async () => writer?.close(), run);
}

async function openNpy(file: string, shape: readonly [number, number]): Promise<NpyWriter> {
  try {
    return await NpyWriter.create(file, shape);
  } catch (cause) {
    throw logitsFailed(file, cause);
  }
}

const logitsFailed = (file: string, cause: unknown): OutputError => outputFailed('--logits', file, cause);

async function textToScore({ text, file, ids }: ScoreArgs): Promise<string | null> {
  if (text !== undefined) return text;
  if (ids !== undefined) return null;
  if (file === undefined) throw new UsageError('nothing to score: give --text TEXT, --file FILE or --ids 5,17,3');
  try {
    return textOf(await readFile(file));
  } catch (cause) {
    throw new UsageError(`--file ${file} can't be read (${causeText(cause)})`);
  }
}

function encode(text: string, tokenizer: Tokenizer | undefined, model: string): number[] {
  if (tokenizer === undefined) throw new UsageError(`${model} has no tokenizer; give --ids 5,17,3`);
  return tokenizer.encode(text);
}

type Print = (
  tokenIds: readonly number[],
  result: ScoreResult,
  tokenizer: Tokenizer | undefined,
  context: CommandContext,
) => void;

const printJson: Print = (
  tokenIds,
  { logprobs, perplexity, routedExperts, numDegradedTokens },
  _tokenizer,
  context,
) => {
  const line = {
    token_ids: tokenIds,
    logprobs: [null, ...logprobs],
    perplexity,
    ...(numDegradedTokens > 0 && { degraded_tokens: numDegradedTokens }),
    routed_experts: routedExperts,
  };
  context.stdout.write(`${JSON.stringify(line)}\n`);
};

/** One line a token: id, text, log-probability, experts per MoE layer. */
const printTable: Print = (tokenIds, result, tokenizer, { stdout }) => {
  const { logprobs, perplexity, routedExperts, numDegradedTokens } = result;
  stdout.write('position\ttoken\ttext\tlogprob\texperts per MoE layer\n');
  tokenIds.forEach((id, i) => {
    const text = tokenizer === undefined ? '' : JSON.stringify(tokenizer.decode([id]));
    const logprob = i === 0 ? '' : logprobs[i - 1]!.toFixed(4);
    const experts = routedExperts[i]!.map((layer) => layer.join(',')).join(' | ');
    stdout.write(`${i}\t${id}\t${text}\t${logprob}\t${experts}\n`);
  });
  stdout.write(`perplexity ${perplexity.toFixed(4)} over ${logprobs.length} tokens\n`);
  if (numDegradedTokens > 0) stdout.write(`${numDegradedTokens} tokens lost an expert with its rank\n`);
};
