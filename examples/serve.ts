/**
 * The server as part of a program: an engine on two ranks behind HTTP, until the program is told to end. In a folder where expertwire and tsx are installed:
 *   npx tsx serve.ts [PORT]
 */
import { createServer, DEMO_MODEL, Engine, loadConfig } from 'expertwire';

const config = await loadConfig({
  base: { model: DEMO_MODEL, parallel: { ranks: 2 }, server: { port: Number(process.argv[2] ?? 8000) } },
});
const engine = await Engine.start({ config });
const server = await createServer(engine, { config });
console.log(`serving at ${await server.listen()}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void server.drain().then(() => engine.close()); // what runs is finished, what is new is refused
  });
}
