/** A server for a run, in a process of its own. Ends with who started it, and its ranks with it. */
import { obey } from '../../base/helper_process.js';
import type { ServerNews, ServerOrder } from './orders.js';
import { ServedJob } from './served_job.js';

let job: ServedJob | null = null;

async function act(order: ServerOrder) {
  switch (order.kind) {
    case 'start': {
      const startMs = performance.now();
      job = await ServedJob.start(order, (line) => void process.stderr.write(`${line}\n`));
      return { url: job.url, startMs: performance.now() - startMs };
    }
    case 'begin':
      await job!.begin(order.kills);
      return {};
    case 'end':
      return job!.end();
    case 'forget':
      job!.forget();
      return {};
  }
}

obey(async (order: ServerOrder): Promise<ServerNews> => {
  try {
    return { ok: await act(order) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { failed: { name, message } };
  }
});

/** As a server ends: ranks leave, and nothing is left. */
process.on('SIGTERM', () => {
  void (job?.close() ?? Promise.resolve()).finally(() => process.kill(process.pid, 'SIGKILL'));
});
