/** docs/conformance.md, from the golden files and from what the families refuse of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { FAMILIES, modelSpecOf } from '../../../lib/model/families/registry.js';
import { repoRoot } from '../paths.js';
import { conformanceFamilies, readConformance } from './conformance.js';
import { AUTHORS } from './refused_configs.js';
import { readStoredModels } from './stored_models.js';

/** How far others' decoders are from ours (scripts/conformance/decoders.py); a name is that of an error. */
interface Decoders {
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly {
    readonly name: string;
    readonly library: number | string | null;
    readonly transformers: number | string | null;
  }[];
}

const HEAD = `# Conformance

Made by \`scripts/conformance/table.mjs\`; a test holds that it is up to date. How it is computed: [scripts/conformance](../scripts/conformance/README.md). Why: [decisions](decisions/exactness.md).
`;

const FAMILIES_TEXT = `## Families

A case is the family's configuration with one field, or a few that belong together, set to something else or left out; all weights are random, norms and biases too. In float32, both ways to compute give
the logits of transformers' float64 within 1e-4 of the largest logit in every case that runs, and for the first case of each family the routed experts of every layer and token and the greedy tokens.
Random combinations of the fields are run by \`fuzz.mjs\`.

- **run**: agree; of these, **neutral**: the field changes nothing, here as there
- **refused**: transformers computes them, and we refuse them by the field's name
- **authors**: the authors' code gives other numbers, and we give those
- **its errors**: transformers can't run them, or a choice of experts hangs on the last bits of float32
`;

const FORMATS_TEXT = `## Stored formats

Whole models whose weights are random codes: transformers runs in float64 what \`stored.py\` decodes the bytes to, and our logits agree within 1e-4 of the largest, at one rank and at two.
Beside it how far other decoders are from \`stored.py\`: a library's weights, of the largest weight, and the logits of the same checkpoint in transformers, of the largest logit.
`;

const WRONG_TEXT = `## Where transformers is wrong

- FP8 blocks that don't divide a matrix (144 rows are 128 and 16): it takes the number of rows divided by that of scale rows as a block's height, here 72. The rows "fp8 blocks" above show it, and those of blocks
  of 32, which divide theirs, that the rest agrees. compressed-tensors decodes such blocks as we do, and transformers can't load them in this form.
- Without a \`quantization_config\` it takes FP8 codes for weights. We read the format off the tensors.
- Up to 5.4.0 it masked groups of experts with 0, by which an expert of a group that wasn't chosen can win over one whose biased score is negative. DeepSeek's code and 5.6.0 and later mask with −∞, as we do.
- Phi-3.5-MoE beyond its original context: the authors take LongRoPE's long factors with the long multiplier, transformers the short factors with it
  ([more of this kind](decisions/families.md#where-transformers-leaves-the-authors-code)).
- Dynamic RoPE beyond \`max_position_embeddings\` depends on how the text was cut into steps. No sequence here is longer than that, and below it the kind does nothing.
`;

/** The page. */
export function conformanceText(): string {
  return [HEAD, FAMILIES_TEXT, familyTable(), FORMATS_TEXT, formatTable(), WRONG_TEXT].join('\n');
}

function familyTable(): string {
  const families = conformanceFamilies().filter((family) => Object.hasOwn(FAMILIES, family));
  const rows = families.map((family) => {
    const { cases, tokens, transformers, judge, library } = readConformance(family);
    const first = cases[0]!.logits;
    const computed = cases.filter(({ logits }) => logits !== null);
    const refused = computed.filter(({ config }) => isRefused(config, tokens.length));
    const authors = AUTHORS[family] ?? [];
    const running = computed.filter((each) => !refused.includes(each) && !authors.includes(each.name));
    const neutral = running.filter(({ logits }, i) => i > 0 && logits === first);
    const as = judge === undefined ? '' : `, as \`${judge}\``;
    const by = `${library === undefined ? '' : `${library} in `}transformers ${transformers}${as}`;
    const numErrors = cases.length - computed.length;
    const counts = [cases, running, neutral, refused, authors].map(({ length }) => length);
    return [`\`${family}\``, by, ...counts, numErrors];
  });
  return table(['family', 'judge', 'cases', 'run', 'neutral', 'refused', 'authors', 'its errors'], rows);
}

/** Also where the engine would admit no prompt of so many tokens. */
function isRefused(config: unknown, numTokens: number): boolean {
  try {
    return numTokens > modelSpecOf(config).maxPositions;
  } catch (error) {
    if (error instanceof ModelError) return true;
    throw error;
  }
}

function formatTable(): string {
  const { versions, rows } = JSON.parse(
    readFileSync(join(repoRoot(), 'test', 'data', 'formats', 'decoders.json'), 'utf8'),
  ) as Decoders;
  const byName = new Map(rows.map((row) => [row.name, row]));
  const lines = readStoredModels().cases.map(({ name, config }) => {
    const { library = null, transformers = null } = byName.get(name) ?? {};
    const of = name === 'awq' ? `AutoAWQ ${versions.AutoAWQ}` : `compressed-tensors ${versions['compressed-tensors']}`;
    const ofLibrary = library === null ? '' : `${of}: ${shown(library)}`;
    return [name, `\`${String(config.model_type)}\``, ofLibrary, shown(transformers)];
  });
  return table(['format', 'model', 'library', `transformers ${versions.transformers}`], lines);
}

const shown = (difference: number | string | null): string =>
  typeof difference === 'number' && difference < 0.01 && difference > 0
    ? difference.toExponential(0)
    : String(difference ?? '');

/** As Prettier would write it. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => String(row[i]).length)));
  const rule = widths.map((width) => '-'.repeat(width));
  return [head, rule, ...rows]
    .map((cells) => `| ${cells.map((cell, i) => String(cell).padEnd(widths[i]!)).join(' | ')} |\n`)
    .join('');
}
