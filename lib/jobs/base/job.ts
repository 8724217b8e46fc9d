/**
 * A job as it is kept: checked, with nothing left to be read from files. Names are as XXL-JOB, SchedulerX and NATS have them.
 * Why: docs/decisions/jobs.md#a-job-is-kept-whole
 */

/** A value as JSON has it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Shards that a node has at most. */
export const MAX_SHARDS = 10_000;

/** Seconds of a time limit at most: what timers count up to. */
export const MAX_TIMEOUT_S = 2_147_483;
/** Tries of a shard behind the first one at most; more would hide what is wrong. */
export const MAX_RETRIES = 100;
/** Requests of a batch at a time, of a shard, at most. */
export const MAX_CONCURRENCY = 1024;

/** What is to be done, when, and how. */
export interface Job {
  /** Letters, digits, - and _, up to 64. */
  readonly name: string;
  readonly description: string;
  /** None: it runs when it is asked to (`expertwire jobs run`). */
  readonly triggers: readonly Trigger[];
  /** A run is due while another one runs: it waits in line; it is dropped; it stops the other one. Default serial. */
  readonly blocking: 'serial' | 'discard' | 'cover';
  /** Runs that were due while nobody could start them: none of them is made up for; one is, at once. Default once. */
  readonly misfire: 'skip' | 'once';
  /** Runs in line with `serial`: more are dropped, and told. Default 16. */
  readonly maxQueued: number;
  /** Of a whole run, in milliseconds; null: none. */
  readonly timeoutMs: number | null;
  /** Runs that have ended of which all is kept; older ones go, with logs and files. Default 20. */
  readonly keepRuns: number;
  /** Each behind what it needs; one at least. */
  readonly nodes: readonly JobNode[];
}

/** What makes a job run. */
export type Trigger =
  /** Six fields, the first one seconds; five: at second 0. `timezone`: a name of the IANA database. Default UTC. */
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string }
  /** At a fixed rate, from 1000 on. */
  | { readonly kind: 'every'; readonly everyMs: number }
  /** A run of another job ended so. */
  | { readonly kind: 'after'; readonly job: string; readonly on: 'success' | 'failure' | 'end' };

/** A node of a job's graph. */
export interface JobNode {
  readonly name: string;
  /** Nodes whose success it waits for; their files are its inputs. */
  readonly needs: readonly string[];
  readonly work: Work;
  readonly shards: Shards;
  readonly route: Route;
  readonly retries: Retries;
  /** Of a try of a shard. Default an hour. */
  readonly timeoutMs: number;
}

/**
 * How a node is cut into shards, which run side by side. `count`: that many (1: it isn't cut); `broadcast`: one for each worker that lives when it begins; `each`: one for each value.
 * A shard knows `shard_index`, `shard_total` and its `item`.
 */
export type Shards =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'broadcast' }
  | { readonly kind: 'each'; readonly items: readonly Json[] };

/**
 * Who gets a shard: whoever is free first (default); all in turn; who has least in hand; the same one for the same job, node and index as long as it lives; the first one by name.
 * A shard whose worker is gone goes to another one.
 */
export type Route = 'any' | 'round_robin' | 'least_busy' | 'consistent_hash' | 'failover';

/** Of a shard that failed; death of its worker isn't counted. */
export interface Retries {
  /** Tries behind the first one. Default 2. */
  readonly count: number;
  /** Before the first one; doubled each time, up to `maxBackoffMs`. Defaults 1000 and 60,000. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/** What a node does. Why: docs/decisions/jobs.md#a-worker-does-what-expertwire-does-and-nothing-else */
export type Work =
  /** The runs of an experiment, one a shard; `plan`: a blob with all of them, `numRuns` of them. What it leaves is a folder of results. */
  | { readonly kind: 'experiment'; readonly plan: string; readonly numRuns: number }
  /** A command of expertwire with its arguments, in a folder of its own; `${shard_index}`, `${shard_total}`, `${item}`, `${run}`, `${inputs}` are put in. What it leaves in the folder is kept. */
  | { readonly kind: 'command'; readonly args: readonly string[] }
  /** Requests of the OpenAI Batch API to a server, `linesPerShard` lines a shard; `input`: a blob with `numLines` of them. What it leaves are `output.jsonl` and `error.jsonl`. */
  | {
      readonly kind: 'batch';
      readonly url: string;
      readonly input: string;
      readonly numLines: number;
      readonly linesPerShard: number;
      /** At a time, of a shard. */
      readonly concurrency: number;
    }
  /** A running server is told to plan its experts anew. */
  | { readonly kind: 'rebalance'; readonly url: string };
