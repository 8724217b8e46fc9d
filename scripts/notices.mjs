/** The licences of libraries whose code a bundle holds: they go with every copy. Why: docs/decisions/build.md#commands-run-from-a-bundle */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file of this name lies beside each bundle. */
export const NOTICES = 'THIRD_PARTY_NOTICES.txt';

const RULE = '-'.repeat(80);

/** Name, version and licence of every library that a bundler says it took something from; `metafiles`: esbuild's. */
export function noticesOf(metafiles) {
  const taken = metafiles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap(({ inputs }) =>
      Object.keys(inputs).filter((file) => inputs[file].bytesInOutput > 0),
    ),
  );
  const folders = new Set(taken.map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? ''));
  folders.delete(''); // our own
  const notices = new Set([...folders].map(noticeOf)); // of one version there may be several copies
  return ['Libraries of which the files beside this one hold code, and their licences.\n', ...[...notices].sort()].join(
    '\n',
  );
}

function noticeOf(folder) {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  if (files.length === 0)
    throw new Error(`${folder} has no licence to copy; find it and add it to scripts/notices.mjs`);
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return [RULE, `${name} ${version}`, '', ...texts, ''].join('\n');
}
