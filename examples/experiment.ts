/**
 * An experiment: one prompt, continued with the model's own gate and with threshold_gate.ts beside this file, and how many experts tokens went to in each layer.
 * In a folder where expertwire is installed, compile both with tsc, then `node experiment.js [MODEL]`.
 */
import { fileURLToPath } from 'node:url';
import { DEMO_MODEL, Engine, loadConfig, type HookEvent } from 'expertwire';

const [model = DEMO_MODEL] = process.argv.slice(2);
const plugins = [{ path: fileURLToPath(new URL('threshold_gate.js', import.meta.url)), options: { least: 0.3 } }];

for (const gate of ['model', 'threshold']) {
  const config = await loadConfig({ base: { model, parallel: { ranks: 2 }, plugins, experts: { gate } } });
  const counts = new Map<number, number[]>(); // experts of each token, by layer
  const onEvent = (event: HookEvent): void => {
    if (event.point !== 'routing') return;
    const numExperts = event.experts.filter((expert) => expert >= 0).length;
    counts.set(event.layer, [...(counts.get(event.layer) ?? []), numExperts]);
  };
  const engine = await Engine.start({ config, hooks: [{ points: { routing: 'all' }, onEvent }] });
  try {
    const promptTokenIds = engine.tokenizer!.encode('Call me Ishmael. Some years ago');
    let text = '';
    for await (const event of engine.generate({ promptTokenIds, maxNewTokens: 24 })) text += event.text;
    console.log(`${gate}: ${JSON.stringify(text)}`);
    for (const [layer, numbers] of counts) {
      const mean = numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
      console.log(`  layer ${layer}: ${mean.toFixed(2)} experts per token`);
    }
  } finally {
    await engine.close();
  }
}
