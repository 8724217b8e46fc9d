/** A library for tokenizers at work, in a process of its own: compare.mjs starts it in the folder where the library is. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pipelineSchema } from '../../../dist/lib/tokenizer/pipeline/pipeline.js';
import { Tokenizer } from '../../../dist/lib/tokenizer/tokenizer.js';
import { spoiledTokenizer } from '../../../dist/test/kit/model/spoiled_tokenizers.js';

const root = join(import.meta.dirname, '..', '..', '..');
const data = join(root, 'test', 'data', 'tokenizers');
const read = (...path) => JSON.parse(readFileSync(join(data, ...path), 'utf8'));
const kinds = readdirSync(join(data, 'kinds')).sort();
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const load = async (name) => import(pathToFileURL(createRequire(join(process.cwd(), 'x.js')).resolve(name)).href);

/** How each library is asked for ids with everything around a text, and for a text without special tokens. */
const LIBRARIES = {
  expertwire: () => (json) => {
    const tokenizer = new Tokenizer({
      file: '',
      config: {},
      chatTemplates: new Map(),
      tokenizer: pipelineSchema.parse(json),
    });
    return { encode: (text) => tokenizer.encode(text), decode: (ids) => tokenizer.decode(ids) };
  },
  '@huggingface/tokenizers': async () => {
    const { default: library } = await load('@huggingface/tokenizers');
    return (json) => {
      const tokenizer = new library.Tokenizer(json, {});
      const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
      return {
        encode: (text) => tokenizer.encode(text).ids,
        decode: (ids) => (ids.length === 0 ? '' : tokenizer.decode(ids, options)),
      };
    };
  },
  tokenizers: async () => {
    const library = await load('tokenizers');
    return (json) => {
      const tokenizer = library.Tokenizer.fromString(JSON.stringify(json));
      return {
        encode: async (text) => [...(await tokenizer.encode(text)).getIds()],
        decode: (ids) => tokenizer.decode(ids, true),
      };
    };
  },
};

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

async function tellKinds(open) {
  const texts = read('texts.json');
  for (const file of kinds) {
    const kind = file.replace('.json', '');
    const { tokenizer: json, cases } = read('kinds', file);
    try {
      const tokenizer = open(json);
      const counts = { ids: 0, texts: 0 };
      for (const [i, [ids, [before, after], text]] of cases.entries()) {
        const all = [...before, ...ids, ...after];
        if (!same(await tokenizer.encode(texts[i]), all)) counts.ids++;
        if ((await tokenizer.decode(all)) !== text) counts.texts++;
      }
      say({ kind, ...counts });
    } catch (error) {
      say({ kind, error: String(error.message).slice(0, 80) });
    }
  }
}

async function tellSpeeds(open) {
  const documents = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const text = documents.map((name) => readFileSync(join(root, 'docs', name), 'utf8')).join('\n');
  for (const kind of ['gpt2', 'deepseek', 'llama2', 't5', 'bert']) {
    const tokenizer = open(read('kinds', `${kind}.json`).tokenizer);
    const times = [];
    for (let i = 0; i < 5; i++) {
      const startMs = performance.now();
      await tokenizer.encode(text);
      times.push(performance.now() - startMs);
    }
    say({ kind, speed: Buffer.byteLength(text) / 1e3 / times.sort((a, b) => a - b)[2] });
  }
}

async function useSpoiled(open, from, to) {
  for (let seed = from; seed < to; seed++) {
    say(seed); // the last one that is said is the one that ended the process
    try {
      const tokenizer = open(spoiledTokenizer(seed).json);
      await tokenizer.decode(await tokenizer.encode('Hello <s> world 漢字 qz\n  x½ Ⅷ😀'));
    } catch {
      // refused
    }
  }
}

const [name, task, from, to] = process.argv.slice(2);
const open = await LIBRARIES[name]();
if (task === 'kinds') await tellKinds(open);
else if (task === 'speed') await tellSpeeds(open);
else await useSpoiled(open, Number(from), Number(to));
