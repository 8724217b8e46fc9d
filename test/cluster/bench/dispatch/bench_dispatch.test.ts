/** The benchmark as a user runs it, with real processes: counts are exact, nothing stays behind. Timings decide nothing. */
import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackToBackRow } from '../../../../bench/dispatch/back_to_back_bench.js';
import { backToBackTable } from '../../../../bench/dispatch/report.js';
import { runBench } from '../../../../bench/index.js';
import { routingOf } from '../../../../bench/dispatch/ranks/routing.js';
import { repoRoot } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { kill, Processes, until, type FoundProcess } from '../../../kit/processes/processes.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const processes = new Processes();

const SHAPE = { tokens: 24, hidden: 130, topk: 3, experts: 10, seed: 5 };
const TINY = Object.entries(SHAPE).flatMap(([name, value]) => [`--${name}`, String(value)]);
const ENDLESS = ['--iterations', '16000000', '--max-seconds', '1000000'];

type Row = Readonly<Record<string, unknown>>;
type PhaseMatrices = Readonly<Record<'tokens' | 'rows' | 'bytes' | 'wait_ms', number[][]>>;
interface RunMatrices {
  readonly selections: number[][];
  readonly dispatch: PhaseMatrices;
  readonly combine: PhaseMatrices;
}
interface Output {
  readonly machine: object;
  readonly seed: number;
  readonly formulae: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
  readonly matrices?: readonly RunMatrices[];
}

async function json(...args: string[]): Promise<Output> {
  const context = commandContext();
  await runBench(['dispatch', ...args, '--json'], context);
  return JSON.parse(context.printed()) as Output;
}

/** [source][destination] choices and distinct tokens, counted one by one. */
function countTraffic(ranks: number, alpha: number): { selections: number[][]; rows: number[][] } {
  const zeros = (): number[][] => Array.from({ length: ranks }, () => new Array<number>(ranks).fill(0));
  const [selections, rows] = [zeros(), zeros()];
  const slotsPerRank = Math.ceil(SHAPE.experts / ranks);
  for (let source = 0; source < ranks; source++) {
    const { topkIdx } = routingOf({ ...SHAPE, alpha }, source);
    for (let token = 0; token < SHAPE.tokens; token++) {
      const chosen = [...topkIdx.subarray(token * SHAPE.topk, (token + 1) * SHAPE.topk)];
      const homes = chosen.map((expert) => Math.floor(expert / slotsPerRank));
      for (const home of homes) selections[source]![home]!++;
      for (const home of new Set(homes)) rows[source]![home]!++;
    }
  }
  return { selections, rows };
}

/** Each entry of pairs of different ranks through `f`; 0 for the own rank. */
const toOthers = (matrix: number[][], f: (value: number) => number): number[][] =>
  matrix.map((row, source) => row.map((value, destination) => (source === destination ? 0 : f(value))));
const sum = (matrix: number[][]): number => matrix.flat().reduce((total, value) => total + value, 0);

const positive = (row: Row, ...names: string[]): void => {
  for (const name of names) expect(row[name], name).to.be.a('number').above(0);
};

/** A rank of a running benchmark; all of them run by then. */
async function rankOf(numRanks: number): Promise<FoundProcess> {
  const ranks = (): FoundProcess[] => processes.running().filter(({ argv }) => argv.at(-1)!.startsWith('rank '));
  await until(
    () => ranks().length === numRanks,
    () => `ranks: ${JSON.stringify(ranks())}`,
  );
  return ranks()[1]!;
}

describe('expertwire bench dispatch', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  /** Bytes of a row there and back. */
  const DTYPES = [
    { dtype: 'f32', combine_dtype: 'f32', bytes: { dispatch: 4 * SHAPE.hidden, combine: 4 * SHAPE.hidden } },
    { dtype: 'fp8', combine_dtype: 'bf16', bytes: { dispatch: SHAPE.hidden + 4 * 2, combine: 2 * SHAPE.hidden } },
    { dtype: 'int4', combine_dtype: 'int4', bytes: { dispatch: 4 * 5 + 65, combine: 4 * 5 + 65 } },
  ];
  const INT4 = ['--plugins', join(repoRoot(), 'examples/plugins/int4.mjs')];

  it('counts the bytes that the routing demands, of a codec of a plug-in too', async () => {
    const args = ['--ranks', '3', '--skew', 'zipf', '--dtype', 'f32,fp8,int4', '--iterations', '2', '--warm-up', '1'];
    const { rows, seed, formulae, machine, matrices } = await json(...TINY, ...args, ...INT4, '--matrix');
    const { hidden, topk, tokens } = SHAPE;
    const { selections, rows: sent } = countTraffic(3, 1);
    const returned = sent[0]!.map((_, i) => sent.map((row) => row[i]!));
    expect(seed).to.equal(5);
    expect(machine).to.include.keys('cpu', 'cores', 'memory', 'node');
    expect(rows).to.have.length(6);
    for (const [i, { dtype, combine_dtype, bytes }] of DTYPES.entries()) {
      const frames = {
        dispatch: toOthers(sent, (n) => 40 + n * (bytes.dispatch + 6 * topk)),
        combine: toOthers(returned, (n) => 40 + n * bytes.combine),
      };
      const counted = matrices![i]!;
      expect(counted.selections).to.deep.equal(selections);
      expect(counted.dispatch).to.deep.include({ tokens: sent, rows: sent, bytes: frames.dispatch });
      expect(counted.combine).to.deep.include({ tokens: returned, rows: returned, bytes: frames.combine });
      for (const { wait_ms } of [counted.dispatch, counted.combine]) {
        expect(wait_ms.flat().every((ms) => ms >= 0 && ms < 60_000)).to.equal(true);
      }
      for (const phase of ['dispatch', 'combine'] as const) {
        const row = rows[2 * i + (phase === 'dispatch' ? 0 : 1)]!;
        expect(row).to.include({
          phase,
          ranks: 3,
          tokens,
          hidden,
          topk,
          experts: 10,
          dtype,
          combine_dtype,
          skew: 'zipf',
        });
        expect(row).to.include({ transport: 'ws', link_mbit: null, p99_us: null, repeats: 2 });
        const wireBytes = sum(frames[phase]);
        const inF32 = toOthers(sent, (n) => 40 + n * (4 * hidden + (phase === 'dispatch' ? 6 * topk : 0)));
        expect(row.wire_bytes).to.equal(wireBytes);
        expect(row.bytes_saved_by_dtype).to.be.closeTo(sum(inF32) / wireBytes, 1e-12);
        const saved = sum(toOthers(selections, (n) => n)) / sum(toOthers(sent, (n) => n));
        expect(row.bytes_saved_by_deduplication).to.be.closeTo(saved, 1e-12);
        positive(row, 'p50_us', 'wire_gb_per_s', 'logical_gb_per_s', 'raw_tcp_gb_per_s', 'tuned_tcp_gb_per_s');
        const of = row as Record<string, number>;
        expect(of.wire_gb_per_s! * of.p50_us! * 1000).to.be.closeTo(wireBytes / 3, 1e-3);
        expect(of.logical_gb_per_s! * of.p50_us! * 1000).to.be.closeTo(tokens * topk * bytes[phase], 1e-3);
        expect(of.fraction_of_raw_tcp).to.be.closeTo(of.wire_gb_per_s! / of.raw_tcp_gb_per_s!, 1e-9);
        expect(of.times_raw_echo).to.be.closeTo(of.p50_us! / of.raw_echo_us!, 1e-9);
        expect(of.frames, 'a message to each other rank').to.equal(2);
        expect(of.wake_ups).to.be.within(0, 1);
        expect(of.copied_per_row, 'written at least once on each side').to.be.within(1, 3);
      }
    }
    expect(formulae).to.include.keys('wire_gb_per_s', 'logical_gb_per_s', 'fraction_of_raw_tcp');
  });

  it('counts the same between threads as between processes', async () => {
    const args = [
      '--ranks',
      '2',
      '--dtype',
      'bf16',
      '--transport',
      'ws,threads',
      '--iterations',
      '1',
      '--warm-up',
      '0',
    ];
    const { rows, matrices } = await json(...TINY, ...args, '--matrix');
    const counts = ({ dispatch, combine, selections }: RunMatrices): object => {
      const counted = ({ tokens, rows: sent, bytes }: PhaseMatrices): object => ({ tokens, sent, bytes });
      return { selections, dispatch: counted(dispatch), combine: counted(combine) };
    };
    expect(rows.map(({ transport, phase }) => `${String(transport)} ${String(phase)}`)).to.deep.equal([
      'ws dispatch',
      'ws combine',
      'threads dispatch',
      'threads combine',
    ]);
    expect(counts(matrices![1]!)).to.deep.equal(counts(matrices![0]!));
    for (const row of rows) positive(row, 'p50_us', 'wire_gb_per_s', 'raw_tcp_gb_per_s', 'fraction_of_raw_tcp');
  });

  it('has a p99 from 100 repeats on, and a table for people', async () => {
    const context = commandContext();
    await runBench(['dispatch', ...TINY, '--ranks', '2', '--dtype', 'f32', '--iterations', '100'], context);
    expect(context.printed()).to.match(/^.+ cores, .+, Node v.+; seed 5\n/);
    expect(context.printed()).to.match(/\nranks × tokens × hidden.*µs p50.*p99.*of raw.*repeats\n/);
    expect(context.printed()).to.match(/2 × 24 × 130, 3\/10 .* dispatch .* \d+ +\d+ .* 100\n/);
    expect(context.printed()).to.match(/\nper rank and call.*raw echo.*wake-ups.*copied per row\n/);
  });

  it('times blocks of pairs back to back, and a narrower wire beside float32', async () => {
    const args = ['--back-to-back', '--dtype', 'bf16,f32', '--iterations', '2', '--warm-up', '0'];
    const { rows, formulae } = await json(...TINY, ...args);
    expect(rows.map(({ dtype, combineDtype }) => [dtype, combineDtype])).to.deep.equal([
      ['bf16', 'bf16'],
      ['f32', 'f32'],
    ]);
    for (const row of rows) {
      expect(row).to.include({ blocks: 2, ranks: 2 }).and.to.include.keys(Object.keys(formulae));
      positive(row, 'pair_us', 'raw_us', 'tuned_us', 'echo_us', 'cpu_us', 'times_f32', 'pairs_per_block', 'wire_bytes');
      expect(row.times_raw).to.be.closeTo(Number(row.best_us) / Number(row.raw_us), 1e-9);
    }
    expect(rows[1]!.times_f32).to.equal(1);
    const table = backToBackTable(rows as readonly unknown[] as readonly BackToBackRow[]);
    expect(table).to.contain('of f32').and.contain('bf16/bf16').and.contain('1.00x');
  });

  it('sends plain messages and echoes over links of a given speed', async () => {
    const args = ['--ranks', '2', '--iterations', '2', '--warm-up', '0', '--link-mbit', '2000'];
    const { rows } = await json('--messages', '4096,3000000', ...args);
    const shown = rows.map(({ message_bytes, messages, phase }) => [message_bytes, messages, phase]);
    expect(shown).to.deep.equal([
      [4096, 1024, 'message'],
      [4096, 1, 'echo'],
      [3000000, 1, 'message'],
      [3000000, 1, 'echo'],
    ]);
    for (const row of rows) {
      expect(row).to.include({ ranks: 2, transport: 'ws', link_mbit: 2000, repeats: 2 });
      positive(row, 'p50_us', 'wire_gb_per_s', 'raw_tcp_gb_per_s', 'fraction_of_raw_tcp', 'tuned_tcp_gb_per_s');
    }
    // A link is never faster than it says: 3 ms of burst on 12 ms of bytes.
    const [, , large] = rows as Record<string, number>[];
    for (const name of ['wire_gb_per_s', 'raw_tcp_gb_per_s', 'tuned_tcp_gb_per_s'])
      expect(large![name]).to.be.below(0.25 * 1.4);
  });

  it('times two micro-batches in flight, and writes what each rank did', async () => {
    await withTempFolder(async (dir) => {
      const trace = join(dir, 'trace.json');
      const args = ['--ranks', '2', '--dtype', 'f32', '--layers', '2', '--compute-ms', '1', '--iterations', '1'];
      const { rows } = await json('--overlap', ...TINY, ...args, '--trace', trace);
      expect(rows).to.have.length(1);
      const row = rows[0] as Record<string, number>;
      expect(row).to.include({ ranks: 2, tokens: SHAPE.tokens, layers: 2, link_mbit: 1000, repeats: 1 });
      expect(row.compute_ms).to.be.at.least(4);
      expect(row.sequential_ms).to.be.at.least(4);
      const hidden = (row.sequential_ms! - row.overlapped_ms!) / Math.min(row.comm_ms!, row.compute_ms!);
      expect(row.hidden_fraction).to.be.closeTo(hidden, 1e-9);
      const events = JSON.parse(await readFile(trace, 'utf8')) as { name: string; ph: string; pid: number }[];
      const names = events.filter(({ ph, pid }) => ph === 'X' && pid === 1).map(({ name }) => name);
      expect(names).to.include.members(['dispatch flight', 'experts', 'combine flight']);
    });
  });

  it('a rank that dies ends the benchmark, which names it', async () => {
    const running = json(...TINY, '--ranks', '2', ...ENDLESS).catch((error: unknown) => error as Error);
    const { pid } = await rankOf(2);
    kill(pid, 'SIGKILL');
    const error = (await running) as Error;
    expect(error.message).to.match(/^PROCESS_DIED: rank 1 \(pid \d+\) ended by SIGKILL/);
    expect(error.message).to.include(String(pid));
  });

  it('Ctrl-C in a terminal ends all its processes, and is no failure to report', async () => {
    const running = processes.cli(['bench', 'dispatch', ...TINY, '--ranks', '2', '--link-mbit', '100', ...ENDLESS]);
    await rankOf(2);
    const atMs = running.signalGroup('SIGINT');
    const ended = await running.ended;
    expect(ended).to.include({ code: 130, stdout: '', stderr: '' });
    expect(ended.atMs - atMs).to.be.below(5 * 2000);
  });

  it('a benchmark that is killed takes its processes along', async () => {
    const running = processes.cli(['bench', 'dispatch', ...TINY, '--ranks', '2', ...ENDLESS]);
    await rankOf(2);
    const atMs = running.signal('SIGKILL');
    expect((await processes.allGone()) - atMs).to.be.below(5 * 2000);
  });
});
