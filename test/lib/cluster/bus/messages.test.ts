import { expect } from 'chai';
import fc from 'fast-check';
import { MAX_BATCH_KEYS } from '../../../../lib/cluster/base/block_events.js';
import { ClusterError } from '../../../../lib/cluster/base/errors.js';
import { MAX_LISTED_REQUESTS } from '../../../../lib/cluster/base/load_report.js';
import {
  checkedBatch,
  checkedLoad,
  checkedRecord,
  MAX_MESSAGE_CHARS,
  messageOf,
} from '../../../../lib/cluster/bus/messages.js';
import { checkedHeartbeat } from '../../../../lib/cluster/bus/nats/nats_record.js';
import { batchOf, CLEARED, keyOf, loadOf, recordOf, stored } from '../../../kit/cluster/members.js';

const REQUEST = {
  ...{ id: 'r', isRunning: true, isMovable: true, priority: -1.5, numPromptTokens: 1, numOutputTokens: 0 },
  ...{ numBlocks: 1, arrival: 3 },
};
const passed = (value: unknown): unknown => messageOf(JSON.stringify(value), 'a');

describe('messages of instances', () => {
  it('come through as they were', () => {
    const record = recordOf('a', { sharing: null, fingerprint: null });
    expect(checkedRecord(passed(record), 'a')).to.deep.equal(record);
    const load = loadOf('a', 3, { requests: Array.from({ length: MAX_LISTED_REQUESTS }, () => REQUEST) });
    expect(checkedLoad(passed(load), 'a')).to.deep.equal(load);
    const batch = batchOf('a', 0, CLEARED, stored(...Array(MAX_BATCH_KEYS).keys()));
    expect(checkedBatch(passed(batch), 'a')).to.deep.equal(batch);
    expect(checkedHeartbeat(JSON.stringify({ record, numBatches: 7 }), 'a')).to.deep.equal({ record, numBatches: 7 });
  });

  it('of the largest sizes fit into one message', () => {
    const id = 'x'.repeat(256);
    const load = loadOf('a', 3, { requests: Array.from({ length: MAX_LISTED_REQUESTS }, () => ({ ...REQUEST, id })) });
    const batch = batchOf('a', 0, CLEARED, stored(...Array(MAX_BATCH_KEYS).keys()));
    for (const each of [load, batch]) expect(JSON.stringify(each).length).to.be.below(2 ** 17);
  });

  it('are refused where a limit is passed, with whose they are and which field', () => {
    const refused = (act: () => unknown): string => {
      expect(act).to.throw(ClusterError);
      try {
        act();
      } catch (error) {
        return (error as ClusterError).message;
      }
      return '';
    };
    const requests = Array.from({ length: MAX_LISTED_REQUESTS + 1 }, () => REQUEST);
    expect(refused(() => checkedLoad(loadOf('a', 3, { requests }), 'a'))).to.match(
      /^INVALID_RECORD: instance a sent a load report that can't be: requests: Too big/,
    );
    const keys = Array.from({ length: MAX_BATCH_KEYS + 1 }, (_, i) => keyOf(i));
    expect(refused(() => checkedBatch(batchOf('a', 0, { kind: 'stored', keys }), 'a'))).to.match(
      /events\.0\.keys: Too big/,
    );
    expect(refused(() => messageOf(' '.repeat(MAX_MESSAGE_CHARS + 1), 'a'))).to.match(
      /a message of 1048577 characters; at most 1048576 are read/,
    );
    expect(refused(() => checkedRecord(recordOf('a.b'), '\u001b[2J'))).to.match(
      /instance \\u001b\[2J sent a record that can't be: id/,
    );
    expect(refused(() => checkedHeartbeat(JSON.stringify({ record: recordOf('b'), numBatches: 0 }), 'a'))).to.match(
      /the record of another one, b/,
    );
  });

  it('are refused or right, whatever somebody sends', () => {
    const checks = [checkedRecord, checkedLoad, checkedBatch];
    const spoiled = fc.record({
      base: fc.constantFrom<object>(recordOf('a'), loadOf('a', 0), batchOf('a', 0, stored(1))),
      key: fc.nat(20),
      value: fc.jsonValue(),
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          spoiled.map(({ base, key, value }) => {
            const keys = Object.keys(base);
            return JSON.stringify({ ...base, [keys[key % keys.length]!]: value });
          }),
        ),
        (text) => {
          for (const check of checks) {
            try {
              const value = check(messageOf(text, 'a'), 'a');
              expect(check(value, 'a')).to.deep.equal(value);
            } catch (error) {
              expect(error).to.be.instanceOf(ClusterError);
            }
          }
        },
      ),
    );
  });
});
