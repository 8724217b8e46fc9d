/** The random models of the benchmark, and plain reads of their files. */
import { access, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRandomCheckpoint } from '../../lib/model/random_checkpoint.js';
import type { CodeFormat } from '../../lib/model/random_codes.js';
import { randomConfig } from '../../lib/model/random_config.js';
import type { FormatName, FormatsOptions } from './options.js';

/** A Qwen3-MoE in a format, made where it isn't there yet. @throws WeightError WRITE_FAILED */
export async function modelIn(options: FormatsOptions, format: FormatName, signal: AbortSignal): Promise<string> {
  const { dir, layers, hidden, experts, intermediate, seed } = options;
  const model = join(dir, [format, layers, hidden, experts, intermediate, seed].join('-').toLowerCase());
  const isThere = await access(join(model, 'config.json')).then(
    () => true,
    () => false,
  );
  if (isThere) return model;
  await mkdir(dir, { recursive: true });
  const dtype = format === 'F32' ? 'F32' : 'BF16';
  const codes: CodeFormat | null = format === 'F32' || format === 'BF16' ? null : format;
  const shape = { layers, denseLayers: 0, hidden, experts, topk: Math.min(4, experts), intermediate };
  const config = randomConfig('qwen3_moe', { ...shape, heads: 8, vocab: 2048, dtype });
  await makeRandomCheckpoint(model, { config, dtype, codes, seed, signal });
  return model;
}

/** Bytes of a read at a time. */
const PIECE_BYTES = 8 * 2 ** 20;

/** Bytes per second of all weights, read once from the first to the last into one buffer. */
export async function readRate(model: string): Promise<number> {
  const buffer = new Uint8Array(PIECE_BYTES);
  const names = (await readdir(model)).filter((name) => name.endsWith('.safetensors'));
  const startMs = performance.now();
  let numBytes = 0;
  for (const name of names.sort()) {
    const file = await open(join(model, name));
    try {
      for (let read = PIECE_BYTES; read > 0; numBytes += read) ({ bytesRead: read } = await file.read(buffer, 0));
    } finally {
      await file.close();
    }
  }
  return (1000 * numBytes) / (performance.now() - startMs);
}
