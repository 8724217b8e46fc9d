/** What a cluster's messages are called on a server of NATS: whoever may use these subjects is in the cluster. */

/** Names of one cluster; ids of instances are tokens of subjects. */
export interface NatsNames {
  /** Of the key-value bucket: a key per instance, which vanishes with it. */
  readonly bucket: string;
  /** Load reports of an instance; `*`: of all. */
  load(instance: string): string;
  /** Its block events. */
  blocks(instance: string): string;
  /** Somebody wants all of an instance's blocks. */
  ask(instance: string): string;
}

/** Of a cluster by its name. */
export const natsNames = (cluster: string): NatsNames => ({
  bucket: `expertwire_${cluster}`,
  load: (instance) => `expertwire.${cluster}.load.${instance}`,
  blocks: (instance) => `expertwire.${cluster}.blocks.${instance}`,
  ask: (instance) => `expertwire.${cluster}.ask.${instance}`,
});

/** Whose message it is, as the subject says. */
export const instanceOf = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);
