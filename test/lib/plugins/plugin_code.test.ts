import { expect } from 'chai';
import { symlink, writeFile } from 'node:fs/promises';
import { PluginError } from '../../../lib/plugins/errors.js';
import { readPluginCode } from '../../../lib/plugins/plugin_code.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';

const FILES = {
  'gate.mjs': `import { a } from './parts/a.mjs';\nimport fs from 'node:fs';\nimport data from './data.json' with { type: 'json' };\nexport default () => import('./late.mjs');\n`,
  'parts/a.mjs': `export * from '../shared.js';\nexport const a = 1;\n`,
  'shared.js': `import './gate.mjs';\nexport const b = 2;\n`,
  'late.mjs': `export {};\n`,
  'data.json': `{}`,
  'beside.mjs': `export {};\n`,
};

describe("a plug-in's code", () => {
  it('is its file and all that it imports by path, one through the other, and nothing else', () =>
    withPlugins(FILES, async (path) => {
      const { files, unreadable } = await readPluginCode(path('gate.mjs'));
      expect(Object.keys(files)).to.deep.equal(['data.json', 'gate.mjs', 'late.mjs', 'parts/a.mjs', 'shared.js']);
      expect(unreadable).to.equal(null);
    }));

  it('is the same in another folder and behind a link, and another when any of its files is', async () => {
    const digests = await withPlugins(FILES, async (path) => {
      const first = await readPluginCode(path('gate.mjs'));
      await symlink(path('gate.mjs'), path('link.mjs'));
      const linked = await readPluginCode(path('link.mjs'));
      await writeFile(path('shared.js'), `${FILES['shared.js']} `);
      return [first, linked, await readPluginCode(path('gate.mjs'))].map(({ digest }) => digest);
    });
    const elsewhere = await withPlugins(FILES, async (path) => (await readPluginCode(path('gate.mjs'))).digest);
    expect(digests[0]).to.equal(elsewhere).and.equal(digests[1]).and.not.equal(digests[2]);
  });

  it('that imports a file that is not there names both files', () =>
    withPlugins({ 'gate.mjs': `import './missing.mjs';` }, async (path) => {
      const { message } = await errorOf(PluginError, () => readPluginCode(path('gate.mjs')));
      expect(message).to.match(
        /^INVALID_PLUGIN: plug-in .*gate\.mjs: .*missing\.mjs, which gate\.mjs imports, can't be read/,
      );
    }));

  it('has a bound', () =>
    withPlugins(
      {
        'gate.mjs': Array.from({ length: 1000 }, (_, i) => `import './${i}.mjs';`).join('\n'),
        ...Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`${i}.mjs`, ''])),
      },
      async (path) => {
        const { message } = await errorOf(PluginError, () => readPluginCode(path('gate.mjs')));
        expect(message).to.match(/more than 1000 files/);
      },
    ));
});
