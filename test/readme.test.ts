import { expect } from 'chai';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compile, createConsumer, run } from './kit/consumer_project.js';
import { repoRoot } from './kit/paths.js';
import { withTempFolder } from './kit/temp_folder.js';

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
  const figures = readFile(join(repoRoot(), 'docs', 'benchmarks.md'), 'utf8');

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

  it('its commands and those of the figures exist, with every option that they show', async () => {
    const text = `${await readme}\n${await figures}`;
    const lines = [...text.matchAll(/(?:\.\/launch\.sh(?: [^\n`]*?)? --|npx expertwire) ([a-z][^\n`#]*)/g)].map(
      (match) => match[1]!,
    );
    expect(lines).to.have.length.above(15);
    const helps = new Map<string, Promise<string>>();
    for (const line of lines) {
      const [command, name] = line.split(' ') as [string, string | undefined];
      const words = command === 'bench' ? [command, name ?? ''] : [command];
      const key = words.join(' ');
      if (!helps.has(key))
        helps.set(
          key,
          run(process.execPath, [CLI, ...words, '--help']).then(({ stdout }) => stdout),
        );
      const help = await helps.get(key)!;
      expect(help, key).to.contain(`expertwire ${key}`);
      for (const [option] of line.matchAll(/--[a-z][a-z-]*/g)) expect(help, line).to.contain(option);
    }
    // No command is shown that a shell would not find.
    expect(text).to.not.match(/(?<!npx )expertwire (?:bench|plan|generate|score|doctor|native|rank|launch)\b/);
  });

  it('links only to files that exist', async () => {
    for (const [text, folder] of [
      [await readme, ''],
      [await figures, 'docs'],
    ] as const) {
      const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!);
      expect(links).to.not.have.length(0);
      for (const link of links)
        await stat(join(repoRoot(), folder, link)).catch(() => expect.fail(`${link} does not exist`));
    }
  });
});
