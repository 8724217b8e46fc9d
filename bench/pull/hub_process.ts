/** A hub in a process of its own, for measuring: one model with weights in several files, kept in memory. Arguments: bytes of all, number of files, seed. */
import { createHash } from 'node:crypto';
import { hubModel } from './hub_model.js';
import { serveHub } from './hub_server.js';

const [numBytes, numFiles, seed] = process.argv.slice(2).map(Number) as [number, number, number];
const names = Array.from({ length: numFiles }, (_, i) => `model-${i + 1}-of-${numFiles}.safetensors`);
const shard = (i: number): Buffer => {
  const outputLength = Math.floor((numBytes * (i + 1)) / numFiles) - Math.floor((numBytes * i) / numFiles);
  return createHash('shake256', { outputLength }).update(`${seed} ${i}`).digest();
};
const index = { weight_map: Object.fromEntries(names.map((name, i) => [`tensor.${i}`, name])) };
const files = {
  'config.json': '{}',
  'model.safetensors.index.json': JSON.stringify(index),
  ...Object.fromEntries(names.map((name, i) => [name, shard(i)])),
};
const revisions = [{ names: ['main'], files }];
const models = [hubModel('bench/plain', revisions), hubModel('bench/chunked', revisions, { hasChunks: true })];
const hub = await serveHub({ models });
process.send!({ url: hub.url, paths: names });
process.on('disconnect', () => void hub.close()); // whoever measures is gone
