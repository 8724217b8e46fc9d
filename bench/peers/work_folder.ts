/** The folder of the benchmark: the model where none was given, and the model's files for llama.cpp. They stay for the next run. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { causeText } from '../../base/foreign_text.js';
import { peerScript } from '../../lib/config/package_files.js';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../lib/model/random_config.js';
import { BenchError } from '../base/errors.js';
import type { Dtype } from './engines/engine.js';

/** A Qwen3-MoE whose weights (1.1 GB) no cache holds, and whose tokens need a fifth of them. */
const SHAPE = {
  layers: 8,
  denseLayers: 0,
  hidden: 1024,
  experts: 32,
  topk: 4,
  intermediate: 640,
  heads: 4,
  vocab: 2048,
};

/** The random model in `dir`, made where it isn't there yet. @throws WeightError WRITE_FAILED */
export async function modelIn(dir: string, signal: AbortSignal): Promise<string> {
  const model = join(dir, 'qwen3_moe-random');
  const isThere = await access(join(model, 'config.json')).then(
    () => true,
    () => false,
  );
  await mkdir(dir, { recursive: true });
  const config = randomConfig('qwen3_moe', { ...SHAPE, dtype: 'BF16' });
  if (!isThere) await makeRandomCheckpoint(model, { config, dtype: 'BF16', seed: 0, signal });
  return model;
}

/** What llama.cpp calls each. */
const GGUF_DTYPES: Readonly<Record<Dtype, string>> = { f32: 'f32', bf16: 'bf16', int8: 'q8_0', int4: 'q4_0' };

/** Where the model's file of each dtype lies, or will. */
export function ggufFiles(dir: string, model: string): Readonly<Record<Dtype, string>> {
  const path = resolve(model);
  const name = `${basename(path)}-${createHash('sha256').update(path).digest('hex').slice(0, 8)}`;
  const fileOf = (dtype: Dtype): string => join(dir, `${name}-${GGUF_DTYPES[dtype]}.gguf`);
  return { f32: fileOf('f32'), bf16: fileOf('bf16'), int8: fileOf('int8'), int4: fileOf('int4') };
}

/** Writes the file where it is missing or older than the model. @throws BenchError with what the script said */
export async function writeGguf(
  python: string,
  model: string,
  file: string,
  dtype: Dtype,
  signal: AbortSignal,
): Promise<void> {
  if ((await changedMs(file)) > (await newestMs(model))) return;
  await promisify(execFile)(python, [peerScript('write_gguf.py'), model, file, GGUF_DTYPES[dtype]], { signal }).catch(
    (cause: unknown) => {
      signal.throwIfAborted();
      const said = (cause as { readonly stderr?: string }).stderr?.trim() ?? causeText(cause);
      throw new BenchError('RANK_FAILED', `${file} can't be written: ${said}`, { cause });
    },
  );
}

/** −Infinity where there is no such file. */
const changedMs = (file: string): Promise<number> =>
  stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => -Infinity,
  );

async function newestMs(model: string): Promise<number> {
  const names = (await readdir(model)).filter((name) => name.endsWith('.safetensors') || name === 'config.json');
  return Math.max(...(await Promise.all(names.map((name) => changedMs(join(model, name))))));
}
