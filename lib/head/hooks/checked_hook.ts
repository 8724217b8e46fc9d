/** Hooks as their authors write them, checked against the model, and the looks that travel to ranks. Pure. */
import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { valueAt } from '../../../base/foreign_value.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import type { Hook, HookPoint, Layers } from '../../protocol/hook.js';
import { bytesPerToken, type Look } from '../../protocol/look.js';

/** A hook that can be told of. */
export interface CheckedHook extends Pick<Hook, 'onEvent'> {
  readonly look: Look;
  /** Layer by layer, and in each in the order of {@link POINTS}. */
  readonly sights: readonly { readonly point: HookPoint; readonly layer: number }[];
}

/** In the order in which a layer comes to them. */
const POINTS: readonly HookPoint[] = [
  ...(['hiddenBefore', 'moeInput', 'routerLogits', 'routerScores', 'routing', 'expertOutputs'] as const),
  'hiddenAfter',
  'lensLogits',
];

const EVERY_LAYER: readonly HookPoint[] = ['hiddenBefore', 'hiddenAfter', 'lensLogits'];

const wholeNumber = z.int({ error: 'a whole number from 0' }).min(0, { error: 'a whole number from 0' });
const layers = z
  .union([z.literal('all'), z.array(wholeNumber).min(1, { error: "'all', or a list of layers" })], {
    error: "'all', or a list of layers",
  })
  .optional();
const schema = z.strictObject({
  points: z.strictObject(
    {
      hiddenBefore: layers,
      hiddenAfter: layers,
      lensLogits: layers,
      moeInput: layers,
      routerLogits: layers,
      routerScores: layers,
      routing: layers,
      expertOutputs: layers,
    },
    { error: 'an object from points to layers' },
  ),
  tokens: z.enum(['all', 'prompt', 'generated'], { error: "'all', 'prompt' or 'generated'" }).optional(),
  share: z.number().gt(0).max(1).optional(),
  seed: wholeNumber.optional(),
  onEvent: z.custom<Hook['onEvent']>((value) => typeof value === 'function', 'a function'),
});

/** `where`: what the caller calls the list. @throws EngineError INVALID_REQUEST naming the hook, the key and what can be there */
export const checkedHooks = (hooks: readonly Hook[], where: string, spec: ModelSpec): CheckedHook[] =>
  hooks.map((hook, i) => checkedHook(hook, `${where}[${i}]`, spec));

/** Whether what a token tells fits into a step. @throws EngineError INVALID_REQUEST */
export function checkLooks(looks: readonly Look[], spec: ModelSpec, mostBytes: number): void {
  const numBytes = bytesPerToken(looks, spec);
  if (numBytes <= mostBytes) return;
  throw invalid(
    `the hooks are told ${numBytes} bytes of each token, and a step has room for ${mostBytes}; name fewer layers`,
  );
}

function checkedHook(given: Hook, where: string, spec: ModelSpec): CheckedHook {
  const result = schema.safeParse(fieldsOf(given));
  if (!result.success) throw invalid(reasonOf(result.error.issues[0]!, given, where));
  const { points, tokens = 'all', share = 1, seed = 0, onEvent } = result.data as Hook;
  const named = POINTS.filter((point) => points[point] !== undefined);
  if (named.length === 0) throw invalid(`${where}.points is empty; name one of ${POINTS.join(', ')}`);
  const layersOf = (point: HookPoint): readonly number[] =>
    points[point] === undefined ? [] : resolved(points[point], point, `${where}.points.${point}`, spec);
  const all = named.flatMap((point) => layersOf(point).map((layer) => ({ point, layer })));
  const sights = all.sort((a, b) => a.layer - b.layer || POINTS.indexOf(a.point) - POINTS.indexOf(b.point));
  return { look: { layers: tablesOf(layersOf), tokens, share, seed }, sights, onEvent: onEvent.bind(given) };
}

/** Layers of each table that the points need. */
function tablesOf(layersOf: (point: HookPoint) => readonly number[]): Look['layers'] {
  const union = (...lists: readonly (readonly number[])[]): number[] =>
    [...new Set(lists.flat())].sort((a, b) => a - b);
  const behind = (point: HookPoint): number[] => layersOf(point).map((layer) => layer + 1);
  const tables: Required<Look['layers']> = {
    hidden: union(layersOf('hiddenBefore'), behind('hiddenAfter')),
    moe_input: union(layersOf('moeInput')),
    router_logits: union(layersOf('routerLogits'), layersOf('routerScores')),
    experts: union(layersOf('routing'), layersOf('expertOutputs')),
    weights: union(layersOf('routing')),
    expert_outputs: union(layersOf('expertOutputs')),
    lens: behind('lensLogits'),
  };
  return Object.fromEntries(Object.entries(tables).filter(([, list]) => list.length > 0));
}

function resolved(asked: Layers, point: HookPoint, where: string, spec: ModelSpec): readonly number[] {
  const there = EVERY_LAYER.includes(point) ? [...spec.layers.keys()] : moeLayersOf(spec);
  if (asked === 'all') return there;
  const wrong = asked.find((layer) => !there.includes(layer));
  if (wrong === undefined) return [...new Set(asked)];
  const what = wrong < spec.layers.length ? 'is a dense layer' : 'is none of the model';
  throw invalid(
    `${where} names layer ${wrong}, which ${what}; give layers of ${there[0]!} … ${there.at(-1)!}, or 'all'`,
  );
}

function reasonOf(issue: z.core.$ZodIssue, given: unknown, where: string): string {
  const place = [where, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = issue.path.length === 0 ? Object.keys(schema.shape) : POINTS;
    return `${place} has no "${issue.keys[0]!}"; did you mean "${closest(issue.keys[0]!, [...known])}"?`;
  }
  const got = valueAt(given, issue.path);
  return `${place} is ${got === undefined ? 'missing' : shown(got)}; give ${expectedOf(issue)}`;
}

const expectedOf = (issue: z.core.$ZodIssue): string =>
  issue.path[0] === 'share' ? 'a number over 0, up to 1' : issue.path.length === 0 ? 'an object' : issue.message;

/** What a hook says. A class has methods beside what is its own, and may keep more in fields: nothing is a slip there but what is missing. */
function fieldsOf(hook: unknown): unknown {
  if (typeof hook !== 'object' || hook === null) return hook;
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(hook) as object | null);
  const keys = isPlain ? Object.keys(hook) : Object.keys(schema.shape);
  const fields = keys.map((key) => [key, (hook as Record<string, unknown>)[key]] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
}

const invalid = (text: string): EngineError => new EngineError('INVALID_REQUEST', text);
