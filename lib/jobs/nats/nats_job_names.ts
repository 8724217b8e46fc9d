/** What jobs are called on a server of NATS: whoever may use these subjects and streams may give workers work. */

/** Names of one cluster; ids of runs, nodes, jobs and workers are tokens of subjects. */
export interface NatsJobNames {
  /** Of key-value buckets, which tools of NATS know under these names: records, and who is there. */
  readonly records: string;
  readonly roster: string;
  /** Of an object store: files. */
  readonly files: string;
  /** Of streams. */
  readonly tasks: string;
  readonly logs: string;
  readonly firings: string;
  /** Of a task: for whom, of which run; `*`: of all. */
  task(to: string, run: string): string;
  log(run: string, node: string, index: string): string;
  /** A schedule, and what it sends. */
  schedule(job: string, trigger: string): string;
  firing(job: string, trigger: string): string;
}

/** Of a cluster by its name. */
export function natsJobNames(cluster: string): NatsJobNames {
  const bucket = `expertwire_${cluster}`;
  const subject = `expertwire.${cluster}.jobs`;
  return {
    records: `${bucket}_jobs`,
    roster: `${bucket}_workers`,
    files: `${bucket}_files`,
    tasks: `${bucket}_tasks`,
    logs: `${bucket}_logs`,
    firings: `${bucket}_firings`,
    task: (to, run) => `${subject}.tasks.${to}.${run}`,
    log: (run, node, index) => `${subject}.logs.${run}.${node}.${index}`,
    schedule: (job, trigger) => `${subject}.schedules.${job}.${trigger}`,
    firing: (job, trigger) => `${subject}.firings.${job}.${trigger}`,
  };
}

/** Anybody's tasks: no worker's own ones are called so, see {@link ownTasks}. */
export const ANYBODY = 'any';

/** A worker's own tasks. */
export const ownTasks = (worker: string): string => `to-${worker}`;

/** Of a key-value bucket. */
export const keySubject = (bucket: string, key: string): string => `$KV.${bucket}.${key}`;
/** The stream under such a bucket. */
export const keyStream = (bucket: string): string => `KV_${bucket}`;

/** The stream under an object store. */
export const objectStream = (store: string): string => `OBJ_${store}`;
/** What an object of it is. */
export const metaSubject = (store: string, name: string): string => `$O.${store}.M.${base64(name)}`;
/** Its bytes. */
export const chunkSubject = (store: string, id: string): string => `$O.${store}.C.${id}`;

/** Null: it is none. */
export function objectOfSubject(store: string, subject: string): string | null {
  const prefix = `$O.${store}.M.`;
  return subject.startsWith(prefix) ? Buffer.from(subject.slice(prefix.length), 'base64url').toString() : null;
}

/** With padding, as object stores have it. */
const base64 = (name: string): string => {
  const bare = Buffer.from(name).toString('base64url');
  return bare.padEnd(Math.ceil(bare.length / 4) * 4, '=');
};
