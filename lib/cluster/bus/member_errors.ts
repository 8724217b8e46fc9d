/** What befalls members of every bus. */
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';

/** Somebody else joined with the id of an instance that is there. */
export const taken = ({ id, url }: InstanceRecord): ClusterError =>
  new ClusterError(
    'ID_TAKEN',
    `another instance joined as ${id}, from ${url}; give each a cluster.id of its own, or none`,
    { instance: id },
  );
