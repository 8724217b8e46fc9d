/** What processes of `expertwire bench jobs` are told, and answer. */
import type { WorkerFigures } from './bench_worker.js';

/** To a process that works. */
export type WorkerOrder =
  | {
      readonly kind: 'start';
      /** Address of the server. */
      readonly url: string;
      readonly id: string;
      readonly width: number;
      readonly scratch: string;
    }
  | { readonly kind: 'figures' };

/** Figures: those of a worker that didn't start are empty. */
export type WorkerNews = WorkerFigures;

/** To a process that keeps a core busy from now on. */
export interface BusyOrder {
  readonly kind: 'begin';
}
