/** A project that has installed this package: what `npm pack` would ship and its dependencies, and nothing else of this repository. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { repoRoot } from '../paths.js';

export const run = promisify(execFile);

/** As strict as compilers get, and every declaration that is reached is checked too. */
const TSCONFIG = {
  compilerOptions: {
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false },
    ...{ target: 'ES2022', module: 'NodeNext', types: ['node'], outDir: 'out', rootDir: '.' },
  },
  include: ['*.ts'],
};

/** Sets the project up in an empty folder outside of this repository. */
export async function createConsumer(dir: string): Promise<void> {
  const root = repoRoot();
  const pack = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const env = { ...process.env, npm_config_update_notifier: 'false' };
  const { stdout } = await run('npm', pack, { cwd: root, env, maxBuffer: 2 ** 26 });
  const [{ files }] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
  await Promise.all(files.map(({ path }) => cp(join(root, path), join(dir, 'node_modules/expertwire', path))));

  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  // What the project has installed for itself comes last.
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'typescript']) {
    const link = join(dir, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, 'node_modules', name), link);
  }
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }');
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(TSCONFIG));
}

/** Compiles the project's *.ts to out/. @throws Error with the compiler's words. */
export async function compile(dir: string): Promise<void> {
  await run(process.execPath, ['node_modules/typescript/bin/tsc'], { cwd: dir }).catch((error: unknown) => {
    throw new Error((error as { readonly stdout: string }).stdout);
  });
}
