/** The script of bash in a real one, with the real command. */
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { completionScript } from '../../../lib/commands/completion/scripts.js';
import { repoRoot } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const CLI = join(repoRoot(), 'dist', 'lib', 'cli.js');

/** What is there where tab is pressed at the end of each line. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  'expertwire mak': ['make-checkpoint'],
  'expertwire bench tok': ['tokenizer'],
  'expertwire generate --return-rou': ['--return-routed-experts', '--return-router-logits'],
  'expertwire generate --set engine.ml': ['engine.mla='],
  'expertwire generate --set engine.mla=na': ['naive'],
  'expertwire inspect models/mo': [],
};

describe('completion in bash', function () {
  this.timeout(60_000);

  it('asks the command, and leaves names of files to the shell', async () => {
    await withTempFolder(async (dir) => {
      const presses = Object.keys(LINES).map(
        (line) => `COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _expertwire; echo "\${COMPREPLY[*]}"`,
      );
      const script = [
        `expertwire() { '${process.execPath}' '${CLI}' "$@"; }`,
        'compopt() { :; }', // there is no terminal
        completionScript('bash'),
        "COMP_WORDBREAKS=$' \\t\\n=:'",
        ...presses,
      ];
      const file = join(dir, 'presses.sh');
      await writeFile(file, script.join('\n'));
      const printed = execFileSync('bash', [file], { encoding: 'utf8' }).split('\n').slice(0, -1);
      expect(printed).to.deep.equal(Object.values(LINES).map((words) => words.join(' ')));
    });
  });
});
