/** What is in the files that a run reads: who changes a text or a model wants other rows. Why: docs/decisions/experiments.md#the-id-of-a-run-is-a-hash-of-what-it-computes */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { valueAt } from '../../../base/foreign_value.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { modelFingerprint } from '../../weights/model_fingerprint.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { PointRun } from './point_run.js';

/** Digests of files, each read once. */
export class Inputs {
  private readonly known = new Map<string, Promise<string>>();

  /** In an order that configuration and workload alone decide: of models what a fingerprint has of them, of other files all bytes. @throws Error where one can't be read */
  digestsOf({ config, workload, measure }: PointRun, info: MeasureInfo): Promise<readonly string[]> {
    const others = (info.configs ?? []).flatMap((key) => (measure[key] as unknown as ExpertwireConfig | null) ?? []);
    const ofConfigs = [config, ...others].flatMap((each) => [
      ...(info.hasEngine ? [this.once(each.model, modelDigest)] : []),
      ...filesOf(each).map((path) => this.once(path, fileDigest)),
    ]);
    const named = info.files.flatMap((key) => valueAt(workload, key.split('.')) as string | readonly string[] | null);
    const ofWorkload = named.flatMap((path) => (typeof path === 'string' ? [this.once(path, fileDigest)] : []));
    return Promise.all([...ofConfigs, ...ofWorkload]);
  }

  private once(path: string, digest: (path: string) => Promise<string>): Promise<string> {
    const known = this.known.get(path) ?? digest(path);
    this.known.set(path, known);
    return known;
  }
}

/** Names stand there too: of a strategy, of a synthetic load. */
const filesOf = ({ experts, plugins }: ExpertwireConfig): readonly string[] => [
  ...[experts.placement, experts.routing].filter((path) => isAbsolute(path)),
  ...plugins.map(({ path }) => path),
];

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Configuration, tokenizer where there is one, and samples of the weights where there are any. */
async function modelDigest(folder: string): Promise<string> {
  const config = await readFile(join(folder, 'config.json'));
  const tokenizer = await readFile(join(folder, 'tokenizer.json')).catch(() => null);
  const files = tokenizer === null ? [config] : [config, tokenizer];
  const hash = createHash('sha256');
  for (const bytes of files) hash.update(bytes);
  return (await modelFingerprint(folder, files)) ?? hash.digest('hex');
}
