/** `expertwire bench tokenizer`: how fast texts become tokens and back, beside Hugging Face's Rust library where a Python has it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText } from '../../base/foreign_text.js';
import { UsageError, type CommandContext } from '../../lib/commands/base/context.js';
import { wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL, DOCUMENTS } from '../../lib/config/package_files.js';
import { bytes, table } from '../../lib/metrics/charts.js';
import { loadTokenizer, type Tokenizer } from '../../lib/tokenizer/tokenizer.js';
import { median, thisMachine } from '../base/machine.js';
import { accepted, benchParser } from '../base/options.js';
import { rustSeconds } from './rust_library.js';

interface Options {
  readonly model: string;
  readonly file: string | undefined;
  readonly python: string | undefined;
  readonly textChars: number;
  readonly repeats: number;
  readonly json: boolean;
}

/** Figures of one library; MB/s of UTF-8, medians over the repeats. */
export interface TokenizerRow {
  readonly library: string;
  /** The first time that these texts come, with every word unknown; null: not measured. */
  readonly first_mb_per_s: number | null;
  readonly encode_mb_per_s: number;
  readonly decode_mb_per_s: number;
  readonly num_tokens: number;
}

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError, TokenizerError, BenchError */
export async function benchTokenizer(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const { model, python, repeats } = options;
  const texts = inPieces(await textOf(options.file), options.textChars);
  const numBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const startMs = performance.now();
  const tokenizer = await loadTokenizer(model);
  const loadMs = performance.now() - startMs;
  if (tokenizer === undefined) throw new UsageError(`${model} has no tokenizer; give a folder with tokenizer.json`);
  const rows = [measure(tokenizer, texts, options.repeats)];
  if (python !== undefined) {
    const file = join(model, 'tokenizer.json');
    const rust = await rustSeconds({ python, file, texts, repeats, signal });
    rows.push(rowOf(`tokenizers ${rust.version}`, numBytes, { ...rust, first: null }));
  }
  const figures = { machine: thisMachine(), model, bytes: numBytes, texts: texts.length, repeats, load_ms: loadMs };
  stdout.write(options.json ? `${JSON.stringify({ ...figures, rows })}\n` : report(figures, rows));
}

function parse(args: readonly string[]): Options {
  const what =
    "MB/s of text that is encoded and decoded, beside Hugging Face's Rust library in a Python that is named.";
  const parsed = benchParser('tokenizer', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'the demo model',
      describe: 'folder with a tokenizer',
    })
    .option('file', { type: 'string', describe: "a text in UTF-8; default: this package's documents" })
    .option('python', {
      type: 'string',
      describe: 'a Python with the package tokenizers, which reads tokenizer.json too',
    })
    .option('text-chars', {
      type: 'number',
      default: 4096,
      describe: 'the text is cut into texts of so many characters',
    })
    .option('repeats', { type: 'number', default: 9, describe: 'the median counts' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  wholeNumber('--text-chars', parsed.textChars, 1);
  wholeNumber('--repeats', parsed.repeats, 1);
  return parsed;
}

async function textOf(file: string | undefined): Promise<string> {
  if (file !== undefined) {
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new UsageError(`--file ${file} can't be read (${causeText(cause)})`);
    });
    if (text === '') throw new UsageError(`--file ${file} is empty; give a file with text`);
    return text;
  }
  const names = (await readdir(DOCUMENTS, { recursive: true })).filter((name) => name.endsWith('.md')).sort();
  return (await Promise.all(names.map((name) => readFile(join(DOCUMENTS, name), 'utf8')))).join('\n');
}

const inPieces = (text: string, length: number): string[] =>
  Array.from({ length: Math.ceil(text.length / length) }, (_, i) =>
    text.slice(i * length, (i + 1) * length).toWellFormed(),
  );

/** What is timed, in seconds. */
interface Seconds {
  readonly first: number | null;
  readonly encode: readonly number[];
  readonly decode: readonly number[];
  readonly numTokens: number;
}

function measure(tokenizer: Tokenizer, texts: readonly string[], repeats: number): TokenizerRow {
  const encode = (): number[][] => texts.map((text) => tokenizer.encode(text, { addSpecialTokens: false }));
  const first = secondsOf(encode);
  const ids = encode();
  const decode = (): unknown => ids.map((each) => tokenizer.decode(each));
  const rounds = Array.from({ length: repeats });
  const numBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return rowOf('expertwire', numBytes, {
    first,
    encode: rounds.map(() => secondsOf(encode)),
    decode: rounds.map(() => secondsOf(decode)),
    numTokens: ids.reduce((sum, { length }) => sum + length, 0),
  });
}

function secondsOf(work: () => unknown): number {
  const startMs = performance.now();
  work();
  return (performance.now() - startMs) / 1000;
}

function rowOf(library: string, numBytes: number, { first, encode, decode, numTokens }: Seconds): TokenizerRow {
  const speed = (seconds: number): number => numBytes / 1e6 / seconds;
  return {
    library,
    first_mb_per_s: first === null ? null : speed(first),
    encode_mb_per_s: speed(median(encode)),
    decode_mb_per_s: speed(median(decode)),
    num_tokens: numTokens,
  };
}

interface Figures {
  readonly machine: ReturnType<typeof thisMachine>;
  readonly model: string;
  readonly bytes: number;
  readonly texts: number;
  readonly repeats: number;
  readonly load_ms: number;
}

function report({ machine, model, ...figures }: Figures, rows: readonly TokenizerRow[]): string {
  const last = rows.at(-1)!;
  const cells = rows.map((row) => [
    row.library,
    row.first_mb_per_s?.toFixed(2) ?? '-',
    row.encode_mb_per_s.toFixed(2),
    `${(row.encode_mb_per_s / last.encode_mb_per_s).toFixed(2)}x`,
    row.decode_mb_per_s.toFixed(2),
    `${(row.decode_mb_per_s / last.decode_mb_per_s).toFixed(2)}x`,
    String(row.num_tokens),
  ]);
  const head = ['library', 'first MB/s', 'encode MB/s', 'ratio', 'decode MB/s', 'ratio', 'tokens'];
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memory}, Node ${machine.node}`,
    `${model}: ${figures.texts} texts, ${bytes(figures.bytes)}; loaded in ${figures.load_ms.toFixed(0)} ms; one thread each; medians of ${figures.repeats}`,
    'MB/s = bytes of UTF-8 / seconds / 1e6; first: no word has come before; ratio: against the last line',
    '',
    table([head, ...cells]),
    '',
  ].join('\n');
}
