/** Tutorials are typed in as they stand: their files into a folder of a clone, their commands into a shell. */
import { expect } from 'chai';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repoRoot } from '../kit/paths.js';
import { CLI, Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

/** Of gate and experiment together. */
const LINES = 40;

/** Texts of fenced blocks: of files by their names, of commands in their order. */
function blocksOf(tutorial: string): { readonly files: ReadonlyMap<string, string>; readonly commands: string[] } {
  const files = [...tutorial.matchAll(/^\*\*(\S+)\*\*\n\n```\w+\n([\s\S]*?)^```$/gm)].map(
    ([, name, text]) => [name!, text!] as const,
  );
  const shell = [...tutorial.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!).join('');
  return { files: new Map(files), commands: shell.split('\n').filter((line) => line.startsWith('npx expertwire ')) };
}

/** The table with this first column, by that column. */
function tableOf(text: string, first: string): ReadonlyMap<string, readonly string[]> {
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()));
  const start = cells.findIndex((row) => row[1] === first);
  return new Map(cells.slice(start + 2).map(([, key, ...rest]) => [key!, rest]));
}

describe('docs/tutorials/own_gate.md', function () {
  this.timeout(180_000);
  const processes = new Processes();
  afterEach(processes.expectNone);

  it('is a gate and an experiment in 40 lines, whose commands find what it says', () =>
    withTempFolder(async (clone) => {
      const tutorial = await readFile(join(repoRoot(), 'docs/tutorials/own_gate.md'), 'utf8');
      const { files, commands } = blocksOf(tutorial);
      expect([...files.keys()]).to.deep.equal(['nucleus.mjs', 'own_gate.yaml']);
      expect([...files.values()].join('').trimEnd().split('\n').length).to.be.at.most(LINES);
      for (const name of ['models', 'configs']) await symlink(join(repoRoot(), name), join(clone, name));
      await mkdir(join(clone, 'mine'));
      for (const [name, text] of files) await writeFile(join(clone, 'mine', name), text);

      const outputs: string[] = [];
      for (const command of commands) {
        const line = command.replace('npx expertwire', `"${process.execPath}" "${CLI}"`);
        const { code, stdout, stderr } = await processes.start('sh', ['-c', line], { cwd: clone }).ended;
        expect(code, `${command}\n${stdout}\n${stderr}`).to.equal(0);
        outputs.push(stdout);
      }
      expect(outputs).to.have.length(3);
      expect(outputs[1]).to.contain('7 runs of 7');
      const rows = await readFile(join(clone, 'experiments/own_gate/results.jsonl'), 'utf8');
      const found = new Map(rows.trim().split('\n').map(foundIn));
      const told = tableOf(tutorial, 'gate');
      expect(new Map([...told].map(([gate, cells]) => [gate, cells.slice(0, 3)]))).to.deep.equal(found);
    }));
});

/** As the tutorial's table has it. */
function foundIn(line: string): [string, string[]] {
  const { point, metrics } = JSON.parse(line) as {
    readonly point: { readonly label: string };
    readonly metrics: Readonly<Record<'experts_per_token' | 'perplexity' | 'kl_nats', number>>;
  };
  const { experts_per_token: experts, perplexity, kl_nats: kl } = metrics;
  return [point.label, [experts.toFixed(2), perplexity.toFixed(1), kl.toFixed(2)]];
}
