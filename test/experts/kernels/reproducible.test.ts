/** The binaries that ship are what their sources in this repository compile to. */
import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repoRoot } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Module: (new (bytes: Uint8Array) => object) & { imports(module: object): readonly object[] };
};

const REPOSITORY = repoRoot();
const { scripts } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
  readonly scripts: { readonly asc: string; readonly wasm: string };
};
const FLAGS = scripts.asc.split(' ').slice(1);
const BUILDS = [...scripts.wasm.matchAll(/-- (\S+\.as\.ts) -o (\S+\.wasm)/g)].map(([, source, binary]) => ({
  source: source!,
  binary: binary!,
}));

describe('WebAssembly binaries', function () {
  this.timeout(60_000);

  it('are built for every module', () => {
    expect(BUILDS.map(({ binary }) => binary)).to.deep.equal([
      'dist/comm/codec.wasm',
      'dist/experts/kernels/kernels.wasm',
      'dist/bench/compute/stream.wasm',
    ]);
  });

  for (const { source, binary } of BUILDS) {
    it(`${binary} is what ${source} compiles to, to the byte, and imports nothing`, async () => {
      await withTempFolder(async (dir) => {
        const again = join(dir, 'again.wasm');
        const compiler = join(REPOSITORY, 'node_modules/assemblyscript/bin/asc.js');
        await promisify(execFile)(process.execPath, [compiler, source, '-o', again, ...FLAGS], { cwd: REPOSITORY });
        const shipped = await readFile(join(REPOSITORY, binary));
        expect((await readFile(again)).equals(shipped)).to.equal(true);
        expect(WebAssembly.Module.imports(new WebAssembly.Module(shipped))).to.deep.equal([]);
      });
    });
  }
});
