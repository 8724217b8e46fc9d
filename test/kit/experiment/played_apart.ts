/** Stands for `expertwire measure --apart`: the played run in a process of its own. Run as a process. */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runApart } from '../../../lib/experiment/runs/apart.js';

const PLAYED = fileURLToPath(new URL('./played_run.js', import.meta.url));
const { values, positionals } = parseArgs({
  options: { 'timeout-ms': { type: 'string' }, 'grace-ms': { type: 'string' } },
  allowPositionals: true,
});
const over = new AbortController();
process.on('SIGTERM', () => over.abort(new Error('asked to end')));
try {
  const options = { env: process.env, graceMs: Number(values['grace-ms']), program: [PLAYED] };
  await runApart(positionals[0]!, Number(values['timeout-ms']), over.signal, options);
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 143;
}
