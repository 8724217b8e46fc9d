import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compile, createConsumer, run } from '../kit/processes/consumer_project.js';
import { repoRoot } from '../kit/paths.js';
import { withTempFolder } from '../kit/temp_folder.js';

const CLI = join(repoRoot(), 'dist/lib/cli.js');

/** Every entry of the package. */
const ENTRIES = ['expertwire', 'expertwire/comm', 'expertwire/experts']
  .map((name, i) => `export * as entry${i} from '${name}';`)
  .join('\n');

/** Code blocks of one language, in order. */
const blocksOf = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1]!);

describe('README', () => {
  const readme = readFile(join(repoRoot(), 'README.md'), 'utf8');
  const others = ['CONTRIBUTING.md', 'docs/benchmarks.md', 'docs/backends.md'];

  it('its library snippets compile and run in a project that has installed the package, and print what their comments promise', () =>
    withTempFolder(async (dir) => {
      const snippets = blocksOf(await readme, 'ts');
      expect(snippets).to.have.length(3);
      await createConsumer(dir);
      for (const [i, snippet] of snippets.entries()) await writeFile(join(dir, `snippet${i}.ts`), snippet);
      await writeFile(join(dir, 'entries.ts'), ENTRIES);
      await compile(dir);
      const promises = await Promise.all(
        snippets.map(async (snippet, i) => {
          const { stdout, stderr } = await run(process.execPath, [`out/snippet${i}.js`], { cwd: dir });
          expect(stderr).to.equal('');
          const promised = [...snippet.matchAll(/\/\/ prints: (.*)$/gm)].map((match) => match[1]!);
          for (const text of promised) expect(stdout).to.contain(text);
          return promised.length;
        }),
      );
      expect(promises).to.deep.equal([1, 1, 0]);
    })).timeout(120_000);

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
