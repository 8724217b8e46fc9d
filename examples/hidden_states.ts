/**
 * Looks inside: how much each layer adds to the residual stream of a prompt's tokens, and what its gate is sure of.
 * In a folder where expertwire and tsx are installed: npx tsx hidden_states.ts [PROMPT] [MODEL]
 */
import { DEMO_MODEL, Engine, loadConfig, type Hook } from 'expertwire';

const [prompt = 'Call me Ishmael. Some years ago', model = DEMO_MODEL] = process.argv.slice(2);
const norms = new Map<number, number[]>(); // of the stream behind a layer
const shares = new Map<number, number[]>(); // of the best expert's weight

const add = (map: Map<number, number[]>, layer: number, value: number): void =>
  void map.set(layer, [...(map.get(layer) ?? []), value]);
const hook: Hook = {
  points: { hiddenAfter: 'all', routing: 'all' },
  tokens: 'prompt',
  onEvent(event) {
    if (event.point === 'hiddenAfter') add(norms, event.layer, Math.hypot(...event.values));
    if (event.point === 'routing') {
      add(shares, event.layer, event.weights[0]! / event.weights.reduce((sum, each) => sum + each));
    }
  },
};

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
const config = await loadConfig({ base: { model, parallel: { ranks: 2 } } });
const engine = await Engine.start({ config });
try {
  const promptTokenIds = engine.tokenizer!.encode(prompt);
  const answer = engine.generate({ promptTokenIds, maxNewTokens: 1, hooks: [hook] });
  for await (const event of answer) if (event.kind === 'token') console.log(`next: ${JSON.stringify(event.text)}`);
} finally {
  await engine.close();
}
for (const [layer, values] of norms) {
  const share = shares.get(layer);
  const gate = share === undefined ? 'dense' : `best expert ${(100 * mean(share)).toFixed(0)} % of the weight`;
  console.log(`layer ${layer}: |x| ${mean(values).toFixed(1)}, ${gate}`);
}
