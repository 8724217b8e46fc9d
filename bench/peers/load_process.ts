/** Loads a model with our engine, anew for each order: its argument is the model folder. */
import { createInterface } from 'node:readline';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';

const config = await loadConfig({ base: { model: process.argv[2]! } });
const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

/** Milliseconds that the rank took to load, and from the start of its process to the end of its first step. */
async function load(): Promise<object> {
  const startMs = performance.now();
  const engine = await Engine.start({ config });
  try {
    await engine.generate({ promptTokenIds: [1], maxNewTokens: 1 }).next();
    const ready_ms = performance.now() - startMs;
    return { loaded_ms: Math.max(...engine.stats().loadReports.map(({ loadMs }) => loadMs)), ready_ms };
  } finally {
    await engine.close();
  }
}

tell({ ready: {} });
const orders = createInterface(process.stdin)[Symbol.asyncIterator]();
while ((await orders.next()).done !== true) tell(await load());
