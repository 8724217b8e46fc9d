/** Golden logits that scripts/conformance made with Hugging Face transformers, and the model folders that they are of. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { tensorShapesOf } from '../../../lib/model/spec/tensor_shapes.js';
import { repoRoot } from '../paths.js';
import { writeSafetensors, type TensorToWrite } from './safetensors_writer.js';

export type HfConfig = Readonly<Record<string, unknown>>;

export interface ConformanceCase {
  readonly name: string;
  readonly config: HfConfig;
  /** Tensors that the configuration alone doesn't ask for. */
  readonly extraTensors: Readonly<Record<string, readonly number[]>>;
  /** [positions][V]; null where transformers refuses the case. */
  readonly logits: readonly (readonly number[])[] | null;
}

export interface Conformance {
  readonly family: string;
  /** The prompt. */
  readonly tokens: readonly number[];
  /** Positions whose logits are golden. */
  readonly positions: readonly number[];
  readonly cases: readonly ConformanceCase[];
}

/** As scripts/conformance/goldens.py writes it. */
interface GoldenFile {
  readonly config: HfConfig;
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
  readonly cases: readonly {
    readonly name: string;
    readonly set: HfConfig;
    readonly absent: readonly string[];
    readonly extra_tensors: Readonly<Record<string, readonly number[]>>;
    readonly logits?: readonly (readonly number[])[];
    readonly same_as?: string;
  }[];
}

export function readConformance(family: string): Conformance {
  const path = join(repoRoot(), 'test', 'data', 'conformance', `${family}.json`);
  const { config: base, tokens, positions, cases } = JSON.parse(readFileSync(path, 'utf8')) as GoldenFile;
  const byName = new Map(cases.map(({ name, logits }) => [name, logits]));
  return {
    family,
    tokens,
    positions,
    cases: cases.map(({ name, set, absent, extra_tensors: extraTensors, logits, same_as: sameAs }) => {
      const entries = Object.entries({ ...base, ...set }).filter(([key]) => !absent.includes(key));
      const golden = logits ?? (sameAs === undefined ? undefined : byName.get(sameAs));
      return { name, config: Object.fromEntries(entries), extraTensors, logits: golden ?? null };
    }),
  };
}

/** Writes config.json and the weights that the goldens were computed with; those of a name and shape are made once and kept in `known`. @throws ModelError for a configuration that can't run */
export async function writeConformanceModel(
  dir: string,
  { config, extraTensors }: ConformanceCase,
  known: Map<string, Uint8Array>,
): Promise<void> {
  await writeFile(join(dir, 'config.json'), JSON.stringify(config));
  const shapes = [...tensorShapesOf(modelSpecOf(config))].map(({ name, shape }) => ({ name, shape }));
  const extra = Object.entries(extraTensors).map(([name, shape]) => ({ name, shape }));
  const all = new Map([...shapes, ...extra].map((tensor) => [tensor.name, tensor]));
  const tensors = [...all.values()].map(({ name, shape }): TensorToWrite => {
    const key = `${name} ${shape.join()}`;
    const bytes = known.get(key) ?? new Uint8Array(conformanceValues(name, shape).buffer);
    known.set(key, bytes);
    return { name, dtype: 'F32', shape, bytes };
  });
  await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
}

/** The weights of scripts/conformance/weights.py: from name and index alone. */
export function conformanceValues(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const seed = fnv1a(name);
  const scale = Math.fround(3.5 / Math.sqrt(shape.at(-1)!));
  const size = shape.reduce((product, each) => product * each, 1);
  return Float32Array.from({ length: size }, (_, i) => {
    const u = (lowbias32((seed + Math.imul(i, 0x9e3779b9)) >>> 0) >>> 8) / 2 ** 24 - 0.5;
    if (name.endsWith('norm.weight')) return 1 + u;
    return shape.length === 1 ? 0.5 * u : scale * u;
  });
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function lowbias32(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  return (x ^ (x >>> 16)) >>> 0;
}
