import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../kit/processes/consumer_project.js';
import { repoRoot } from '../kit/paths.js';
import { withTempFolder } from '../kit/temp_folder.js';

const CLI = join(repoRoot(), 'dist/lib/cli.js');

describe('README', () => {
  const readme = readFile(join(repoRoot(), 'README.md'), 'utf8');
  const others = ['CONTRIBUTING.md', 'docs/benchmarks.md', 'docs/backends.md', 'docs/cluster.md'];

  it('its commands and those of other documents exist, with every option that they show', async () => {
    const texts = await Promise.all(others.map((file) => readFile(join(repoRoot(), file), 'utf8')));
    const text = [await readme, ...texts].join('\n');
    const lines = [...text.matchAll(/(?:\.\/launch\.sh(?: [^\n`]*?)? --|npx expertwire) ([a-z][^\n`#]*)/g)].map(
      (match) => match[1]!,
    );
    expect(lines).to.have.length.above(15);
    const commandOf = (line: string): string => line.split(' ', line.startsWith('bench ') ? 2 : 1).join(' ');
    const commands = [...new Set(lines.map(commandOf))];
    const helps = await Promise.all(
      commands.map(async (command) => {
        const { stdout } = await run(process.execPath, [CLI, ...command.split(' '), '--help']);
        return [command, stdout] as const;
      }),
    );
    const helpOf = new Map(helps);
    for (const line of lines) {
      const key = commandOf(line);
      const help = helpOf.get(key)!;
      expect(help, key).to.contain(`expertwire ${key}`);
      for (const [option] of line.matchAll(/--[a-z][a-z-]*/g)) expect(help, line).to.contain(option);
    }
    // No command is shown that a shell would not find.
    expect(text).to.not.match(/(?<!npx )expertwire (?:bench|plan|generate|score|doctor|native|rank|launch)\b/);
  });

  it('its picture of heat is what its command draws', () =>
    withTempFolder(async (dir) => {
      const drawn = join(dir, 'heat.svg');
      const command = ['generate', '--config', 'configs/demo.yaml', '--plot'];
      expect(await readme).to.contain(`npx expertwire ${command.join(' ')} docs/pictures/heat.svg`);
      await run(process.execPath, [CLI, ...command, drawn], { cwd: repoRoot() });
      const [fresh, committed] = await Promise.all([drawn, join(repoRoot(), 'docs/pictures/heat.svg')].map(loadsIn));
      expect(committed)
        .to.have.length(3 * (32 + 4))
        .and.to.deep.equal(fresh);
    })).timeout(60_000);
});

/** What the cells of a picture say: the load of each expert and rank, by layer. */
async function loadsIn(svg: string): Promise<string[]> {
  return [...(await readFile(svg, 'utf8')).matchAll(/aria-label="((?:expert|rank): [^"]*)"/g)].map(
    (match) => match[1]!,
  );
}
