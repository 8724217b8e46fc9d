/** --record, --routing and --plot with real ranks, and what `plan` makes of their files. */
import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordedLoad } from '../../../../../experts/routing/recorded_routing.js';
import { UsageError } from '../../../../../lib/commands/base/context.js';
import { runCommand } from '../../../../../lib/commands/parser.js';
import { commandContext } from '../../../../kit/processes/command_context.js';
import { tinyModel } from '../../../../kit/paths.js';
import { errorOf } from '../../../../kit/rejects.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

async function expertwire(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(args, context);
  return context.printed();
}

const QWEN = ['--model', tinyModel('tiny-qwen3-moe'), '--ranks', '2'];
const GENERATE = ['generate', ...QWEN, '--prompt-ids', '5,17,3,9', '--max-new-tokens', '5', '--ignore-eos', '--json'];

interface Printed {
  readonly token_ids: readonly number[];
  readonly routed_experts: readonly number[][][];
  readonly stats: { readonly expert_load: readonly number[][] };
}

const linesOf = (text: string): Printed[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Printed);

describe('recording from the command line', function () {
  this.timeout(60_000);

  it('generate records in every mode what --json says, plan reads it, and --routing replays it', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r.jsonl.gz');
      const loads = new Map<string, number[][]>();
      for (const mode of ['stat', 'per_pass', 'per_token']) {
        const text = await expertwire(...GENERATE, '--return-routed-experts', '--record', file, '--record-mode', mode);
        const [output, last] = linesOf(text) as [Printed, Printed];
        expect(output.routed_experts).to.have.length(8); // the last token isn't fed to the model
        const { header, load_LE } = await recordedLoad(file);
        expect(header).to.include({ mode, model: 'tiny-qwen3-moe' });
        expect(header.createdBy).to.match(/^expertwire \d/);
        loads.set(
          mode,
          load_LE.map((load_E) => [...load_E]),
        );
        expect(loads.get(mode)).to.deep.equal(last.stats.expert_load);
        const counts = load_LE.map((load_E) => [...load_E.map(() => 0)]);
        for (const layers of output.routed_experts) layers.forEach((own, l) => own.forEach((e) => counts[l]![e]!++));
        expect(loads.get(mode)).to.deep.equal(counts);
      }
      const json = join(dir, 'load.json');
      await writeFile(json, JSON.stringify({ weight: loads.get('per_token') }));
      const plan = ['--ranks', '2', '--json'];
      expect(await expertwire('plan', '--load', file, ...plan)).to.equal(
        await expertwire('plan', '--load', json, ...plan),
      );
      const [replayed] = linesOf(await expertwire(...GENERATE, '--return-routed-experts', '--routing', file));
      const [plain] = linesOf(await expertwire(...GENERATE, '--return-routed-experts'));
      expect(replayed!.routed_experts).to.deep.equal(plain!.routed_experts);
    });
  });

  it('score records too', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'r.jsonl.gz');
      const text = await expertwire('score', ...QWEN, '--ids', '5,17,3,9,4', '--json', '--record', file);
      const [{ routed_experts }] = linesOf(text) as [Printed];
      const { header, load_LE } = await recordedLoad(file);
      expect(header.mode).to.equal('stat');
      const counts = load_LE.map((load_E) => [...load_E.map(() => 0)]);
      for (const layers of routed_experts) layers.forEach((own, l) => own.forEach((e) => counts[l]![e]!++));
      expect(load_LE.map((load_E) => [...load_E])).to.deep.equal(counts);
    });
  });

  it('plan compares with the placement that a recording ran with, and says which one it assumes elsewhere', async () => {
    await withTempFolder(async (dir) => {
      const [file, placement] = [join(dir, 'r.jsonl.gz'), join(dir, 'p.json')];
      await expertwire(...GENERATE, '--record', file);
      await expertwire('plan', '--load', file, '--ranks', '2', '--slots', '20', '--output', placement);
      const recorded = join(dir, 'r2.jsonl.gz');
      await expertwire(...GENERATE, '--placement', placement, '--record', recorded);
      const plan = (...args: readonly string[]): Promise<string> =>
        expertwire('plan', '--load', recorded, '--planner', 'eplb_stable', '--slots', '20', ...args);
      const text = await plan('--ranks', '2');
      expect(text).to.contain('before: as recorded, placement version 0\n');
      const named = await plan('--ranks', '2', '--current', placement);
      const rowsOf = (printed: string): string[] => printed.split('\n').slice(1, 7); // all but who is compared, and the time
      expect(named).to.contain(`before: ${placement}\n`);
      expect(rowsOf(text)).to.deep.equal(rowsOf(named));
      expect(await plan('--ranks', '4')).to.contain(
        'before: linear, one replica (assumed: the recording ran on 2 ranks)\n',
      );
    });
  });

  it('--plot draws a run as .svg, and a plan as .html', async () => {
    await withTempFolder(async (dir) => {
      const [svg, html, load] = [join(dir, 'run.svg'), join(dir, 'plan.html'), join(dir, 'load.json')];
      await expertwire(...GENERATE, '--plot', svg);
      const run = await readFile(svg, 'utf8');
      expect(run).to.match(/^<svg [\s\S]*<\/svg>\n$/);
      expect(run).to.contain('tiny-qwen3-moe: 5 steps on 2 ranks').and.contain('Balancedness of each step');
      await writeFile(load, JSON.stringify({ weight: [[9, 1, 1, 1]] }));
      const text = await expertwire('plan', '--load', load, '--ranks', '2', '--plot', html, '--chart');
      const page = await readFile(html, 'utf8');
      expect(page).to.contain('<title>eplb on 2 ranks</title>');
      expect(page).to.contain('in total, before (linear)').and.contain('in total, after (eplb)');
      expect(page).to.contain('balancedness of the sums 0.600').and.contain('slots hold an expert that their rank');
      expect(text).to.contain('load of each expert\nlayer 0  █▁▁▁  max 3.00 × mean');
      expect(text).to.contain('load of each rank before\nlayer 0  █▂  max 1.67 × mean');
    });
  });

  it('refuses, before anything runs, files that cannot be read, and names that say no format', async () => {
    await withTempFolder(async (dir) => {
      const cut = join(dir, 'cut.gz');
      await writeFile(cut, Buffer.of(0x1f, 0x8b, 8));
      for (const [args, words] of [
        [[...GENERATE, '--record', join(dir, 'r'), '--record-mode', 'all'], /record-mode/],
        [[...GENERATE, '--plot', 'p.pdf'], /--plot p.pdf is neither .svg, .png nor .html/],
        [['plan', '--load', cut, '--ranks', '2', '--plot', 'p'], /--plot p is neither/],
        [['plan', '--load', cut, '--ranks', '2'], /^BAD_RECORDING: .*cut.gz, line 1: the file is cut off here/],
      ] as const) {
        expect((await errorOf(UsageError, () => expertwire(...args))).message).to.match(words);
      }
    });
  });
});
