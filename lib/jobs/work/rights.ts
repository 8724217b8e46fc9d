/** What a worker lets a job do. */

/** Where paths of a shard may lead, and what else it may. */
export interface Rights {
  /** Of the shard: the only place where it writes. */
  readonly folder: string;
  /** Folders with models, which may be read. Absolute. */
  readonly models: readonly string[];
  /** Plug-ins, configurations of files, other engines' programs. */
  readonly canLoadCode: boolean;
  /** Paths of another machine may be looked for by their last parts, since what is found is compared with what was meant. Default false. */
  readonly relocates?: boolean;
  /** Origins of servers that may be asked beside those of this machine: 'http://10.0.0.2:8000'. */
  readonly servers: readonly string[];
}

/** What there is, with all links followed: the real path of a file or folder; null: nothing. */
export type RealPath = (path: string) => string | null;
