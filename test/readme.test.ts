import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repoRoot } from './kit/paths.js';

const run = promisify(execFile);

/** Code blocks of one language, in order. */
const blocksOf = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1]!);

describe('README', () => {
  const readme = readFile(join(repoRoot(), 'README.md'), 'utf8');

  it('its library snippets run, and print what their comments promise', async () => {
    const snippets = blocksOf(await readme, 'ts');
    expect(snippets).to.have.length(2);
    // Inside the package, so that 'expertwire' means this build.
    const folder = await mkdtemp(join(repoRoot(), 'dist', 'readme-'));
    try {
      for (const [i, snippet] of snippets.entries()) {
        const file = join(folder, `snippet${i}.mjs`);
        await writeFile(file, snippet);
        const { stdout, stderr } = await run(process.execPath, [file], { cwd: repoRoot() });
        const promised = [...snippet.matchAll(/\/\/ prints: (.*)$/gm)].map((match) => match[1]!);
        expect(promised).to.not.have.length(0);
        for (const text of promised) expect(stdout).to.contain(text);
        expect(stderr).to.equal('');
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);

  it('links only to files that exist', async () => {
    const text = await readme;
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!);
    expect(links).to.not.have.length(0);
    for (const link of links) await stat(join(repoRoot(), link)).catch(() => expect.fail(`${link} does not exist`));
  });
});
