/** Model folders with one thing changed. */
import { copyFile, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { readSafetensors, writeSafetensors, type TensorToWrite } from './safetensors_writer.js';

/** Copies a model folder's files. */
export async function copyModel(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) await copyFile(join(from, name), join(to, name));
}

/** Changes keys of a JSON file. */
export async function changeJson(file: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
  const json = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...json, ...changes }));
}

/** Rewrites model.safetensors, tensor by tensor; undefined leaves a tensor out. */
export async function changeTensors(
  dir: string,
  change: (tensor: TensorToWrite) => TensorToWrite | undefined,
): Promise<void> {
  const file = join(dir, 'model.safetensors');
  const tensors = readSafetensors(await readFile(file));
  await writeFile(file, writeSafetensors(tensors.flatMap((tensor) => change(tensor) ?? [])));
}

/** Leaves a Qwen3-MoE checkpoint its first `numExperts` experts. */
export async function keepExperts(dir: string, numExperts: number): Promise<void> {
  await changeJson(join(dir, 'config.json'), { num_experts: numExperts });
  await changeTensors(dir, (tensor) => {
    const expert = /\.experts\.(\d+)\./.exec(tensor.name)?.[1];
    if (expert !== undefined && Number(expert) >= numExperts) return undefined;
    if (!tensor.name.endsWith('.mlp.gate.weight')) return tensor;
    const [numRows, ...rest] = tensor.shape as [number, number];
    const rowBytes = tensor.bytes.byteLength / numRows;
    return { ...tensor, shape: [numExperts, ...rest], bytes: tensor.bytes.subarray(0, numExperts * rowBytes) };
  });
}

/** Changes the lowest bit of one byte of a tensor in place: the file stays well-formed. */
export async function flipBit(dir: string, tensor: string, byte: number): Promise<void> {
  const checkpoint = await openCheckpoint(dir);
  const { file, begin } = checkpoint.info(tensor);
  await checkpoint.close();
  const handle = await open(file, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, begin + byte);
  await handle.write(Buffer.of(buffer[0]! ^ 1), 0, 1, begin + byte);
  await handle.close();
}
