/** What an instance's key holds in the bucket of those who are there. */
import type { InstanceRecord } from '../../base/instance_record.js';
import { checkedRecord, messageOf, refusal } from '../messages.js';

/** A sign of life. */
export interface Heartbeat {
  readonly record: InstanceRecord;
  /** Batches of block events that were told so far. */
  readonly numBatches: number;
}

/** As it is put there. */
export const heartbeatText = (heartbeat: Heartbeat): string => JSON.stringify(heartbeat);

/** What somebody put there under `key`. @throws ClusterError INVALID_RECORD */
export function checkedHeartbeat(text: string, key: string): Heartbeat {
  const { record: given, numBatches } = (messageOf(text, key) ?? {}) as Partial<Record<keyof Heartbeat, unknown>>;
  const record = checkedRecord(given, key);
  if (record.id !== key) throw refusal(key, `the record of another one, ${record.id}`, 'see who has its key');
  return { record, numBatches: Number.isSafeInteger(numBatches) ? (numBatches as number) : 0 };
}
