/** Golden logits that scripts/conformance made with Hugging Face transformers, and the model folders that they are of. */
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repoRoot } from '../paths.js';
import { writeSafetensors, type TensorToWrite } from './safetensors_writer.js';

export type HfConfig = Readonly<Record<string, unknown>>;
/** Shapes of a checkpoint's tensors by name. */
type Shapes = Readonly<Record<string, readonly number[]>>;

export interface ConformanceCase {
  readonly name: string;
  readonly config: HfConfig;
  /** What transformers' checkpoint of this configuration holds. */
  readonly tensors: Shapes;
  /** [positions][V]; null where transformers refuses the case. */
  readonly logits: readonly (readonly number[])[] | null;
}

export interface Conformance {
  readonly family: string;
  /** Its version. */
  readonly transformers: string;
  /** The model_type under which transformers ran it, where it doesn't know the family's own. */
  readonly judge?: string;
  /** The library whose MoE layer ran in transformers' blocks, with its version. */
  readonly library?: string;
  /** The prompt. */
  readonly tokens: readonly number[];
  /** Positions whose logits are golden. */
  readonly positions: readonly number[];
  /** What the first case generates. */
  readonly greedy: readonly number[];
  /** [MoE layer][token] of the prompt: the experts that the first case chooses, ascending. */
  readonly experts: readonly (readonly (readonly number[])[])[];
  readonly cases: readonly ConformanceCase[];
}

/** As scripts/conformance/goldens.py writes it. */
interface GoldenFile extends Omit<Conformance, 'family' | 'cases'> {
  readonly config: HfConfig;
  /** The field of `config` that cases vary; absent: all of it. */
  readonly within?: string;
  /** By name with lists of numbers in braces. */
  readonly tensors: Shapes;
  readonly cases: readonly {
    readonly name: string;
    readonly set?: HfConfig;
    readonly absent?: readonly string[];
    /** What is other than in `tensors`, as there; null: it isn't there. */
    readonly tensors?: Readonly<Record<string, readonly number[] | null>>;
    readonly logits?: readonly (readonly number[])[];
    readonly same_as?: string;
  }[];
}

const folder = (): string => join(repoRoot(), 'test', 'data', 'conformance');

/** The families that have goldens. */
export const conformanceFamilies = (): string[] =>
  readdirSync(folder()).flatMap((file) => (file === 'added_tokens.json' ? [] : file.replace(/\.json$/, '')));

/** Those whose layers have as many experts as each other. */
export const alikeFamilies = (): string[] => conformanceFamilies().filter((family) => family !== 'deepspeed_moe');

/** @param dir of the golden files; default: those of the tests */
export function readConformance(family: string, dir = folder()): Conformance {
  const file = JSON.parse(readFileSync(join(dir, `${family}.json`), 'utf8')) as GoldenFile;
  const { config: base, within, tensors, cases, ...shared } = file;
  const byName = new Map(cases.map(({ name, logits }) => [name, logits]));
  const usual = unbraced(tensors);
  return {
    ...shared,
    family,
    cases: cases.map(({ name, set = {}, absent = [], tensors: others = {}, logits, same_as: sameAs }) => {
      const golden = logits ?? (sameAs === undefined ? undefined : byName.get(sameAs));
      const config =
        within === undefined
          ? varied(base, set, absent)
          : { ...base, [within]: varied(base[within] as HfConfig, set, absent) };
      const shapes = Object.entries({ ...usual, ...unbraced(others) });
      const present = shapes.filter((entry): entry is [string, readonly number[]] => entry[1] !== null);
      return { name, config, tensors: Object.fromEntries(present), logits: golden ?? null };
    }),
  };
}

const varied = (base: HfConfig, set: HfConfig, absent: readonly string[]): HfConfig =>
  Object.fromEntries(Object.entries({ ...base, ...set }).filter(([key]) => !absent.includes(key)));

/** By full names: `a.{0-1,3}.b` stands for `a.0.b`, `a.1.b` and `a.3.b`. */
export const unbraced = <T>(byPattern: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    Object.entries(byPattern).flatMap(([pattern, value]) => namesOf(pattern).map((name) => [name, value])),
  );

function namesOf(pattern: string): string[] {
  const list = /\{([^}]*)\}/.exec(pattern);
  if (list === null) return [pattern];
  const numbers = list[1]!.split(',').flatMap((run) => {
    const [first, last = first] = run.split('-').map(Number) as [number, number?];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return numbers.flatMap((number) => namesOf(pattern.replace(list[0], String(number))));
}

/** Writes config.json and the weights that the goldens were computed with; those of a name and shape are made once and kept in `known`. */
export async function writeConformanceModel(
  dir: string,
  { config, tensors }: ConformanceCase,
  known: Map<string, Uint8Array>,
): Promise<void> {
  await writeFile(join(dir, 'config.json'), JSON.stringify(config));
  const all = Object.entries(tensors).map(([name, shape]): TensorToWrite => {
    const key = `${name} ${shape.join()}`;
    const bytes = known.get(key) ?? new Uint8Array(conformanceValues(name, shape).buffer);
    known.set(key, bytes);
    return { name, dtype: 'F32', shape, bytes };
  });
  await writeFile(join(dir, 'model.safetensors'), writeSafetensors(all));
}

/** The weights of scripts/conformance/weights.py: from name and index alone. */
export function conformanceValues(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const seed = seedOf(name);
  const scale = Math.fround(3.5 / Math.sqrt(shape.at(-1)!));
  const values = new Float32Array(shape.reduce((product, each) => product * each, 1));
  const isNorm = name.endsWith('norm.weight');
  const factor = isNorm ? 1 : shape.length === 1 || name.endsWith('bias') ? 0.5 : scale;
  for (let i = 0; i < values.length; i++) {
    const u = (hashedWord(seed, i) >>> 8) / 2 ** 24 - 0.5;
    values[i] = isNorm ? 1 + u : factor * u;
  }
  return values;
}

/** Of {@link hashedWord}, from a tensor's name: FNV-1a. */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** 32 bits that the index alone determines: lowbias32 (Wellons). */
export function hashedWord(seed: number, index: number): number {
  let x = (seed + Math.imul(index, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  return (x ^ (x >>> 16)) >>> 0;
}
