/** Holds the product's templates to what Jinja2 made of random ones: node scripts/chats/fuzz.mjs FILE, made by fuzz.py. */
import { readFileSync } from 'node:fs';
import { Template } from '../../dist/lib/tokenizer/jinja/template.js';
import { parseExactJson } from '../../dist/lib/tokenizer/jinja/values/plain.js';

const { variables } = parseExactJson(
  readFileSync(new URL('../../test/data/chats/expressions.json', import.meta.url), 'utf8'),
);
const cases = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function resultOf(source) {
  try {
    return { text: new Template(source).render(variables) };
  } catch (error) {
    return { error: error.message };
  }
}

const different = cases
  .map((expected) => ({ expected, got: resultOf(expected.source) }))
  .filter(({ expected, got }) => expected.text !== got.text);
for (const each of different.slice(0, 40)) console.log(JSON.stringify(each, null, 1));
console.log(
  `${different.length} of ${cases.length} differ; Jinja2 writes ${cases.filter(({ text }) => text !== undefined).length} of them`,
);
process.exitCode = different.length === 0 ? 0 : 1;
