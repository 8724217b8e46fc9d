/**
 * What a model thinks of a text: its perplexity with fewer experts for each token than it was trained with, and the token that it expected least.
 * In a folder where expertwire and tsx are installed: npx tsx score.ts [TEXT] [MODEL]
 */
import { DEMO_MODEL, Engine, loadConfig } from 'expertwire';

const [text = 'There was no possibility of taking a walk that day.', model = DEMO_MODEL] = process.argv.slice(2);

for (const numTopk of [1, 2, 4]) {
  const overrides = { num_experts_per_tok: numTopk };
  const config = await loadConfig({ base: { model, model_overrides: overrides, parallel: { ranks: 2 } } });
  const engine = await Engine.start({ config });
  try {
    const tokenIds = engine.tokenizer!.encode(text);
    const { perplexity, logprobs } = await engine.score({ tokenIds });
    const least = logprobs.indexOf(Math.min(...logprobs));
    const token = engine.tokenizer!.decode([tokenIds[least + 1]!]);
    console.log(`top-${numTopk}: perplexity ${perplexity.toFixed(2)}, least expected: ${JSON.stringify(token)}`);
  } finally {
    await engine.close();
  }
}
