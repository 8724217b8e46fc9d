/** A server in a process of its own, for as long as a run needs it. */
import { closing } from '../../../lib/commands/base/closing.js';
import { ExperimentError } from '../../../lib/experiment/base/errors.js';
import { HelperProcess } from '../../base/helper_process.js';
import type { MeasureContext } from '../base/measure.js';
import type { ServerAnswers, ServerNews, ServerOrder, StartOrder } from './orders.js';

/** What a run can tell it. */
export interface RunningServer {
  readonly url: string;
  /** From the start of its ranks until it took requests. */
  readonly startMs: number;
  /** What is measured begins now. */
  begin(kills: Extract<ServerOrder, { kind: 'begin' }>['kills']): Promise<void>;
  /** What it came to. */
  end(): Promise<ServerAnswers['end']>;
  /** No prompt begins with what was computed before. */
  forget(): Promise<void>;
}

/** Runs `work` with it, and ends it and its ranks whatever happens. @throws ExperimentError MEASURE_FAILED where it doesn't start, with the reason */
export async function withServer<T>(
  start: Omit<StartOrder, 'kind'>,
  { signal, onNotice }: Pick<MeasureContext, 'signal' | 'onNotice'>,
  work: (server: RunningServer) => Promise<T>,
): Promise<T> {
  const module = new URL('./server_process.js', import.meta.url);
  const process = new HelperProcess<ServerOrder, ServerNews>(module, signal, onNotice);
  const tell = async <K extends ServerOrder['kind']>(order: ServerOrder & { kind: K }): Promise<ServerAnswers[K]> => {
    const news = await process.ask(order);
    if ('failed' in news)
      throw new ExperimentError('MEASURE_FAILED', `the server can't ${order.kind}: ${news.failed.message}`);
    return news.ok as ServerAnswers[K];
  };
  return closing(
    () => process.end(),
    async () => {
      const { url, startMs } = await tell({ kind: 'start', ...start });
      return work({
        ...{ url, startMs },
        begin: async (kills) => {
          await tell({ kind: 'begin', kills });
        },
        end: () => tell({ kind: 'end' }),
        forget: async () => {
          await tell({ kind: 'forget' });
        },
      });
    },
  );
}
