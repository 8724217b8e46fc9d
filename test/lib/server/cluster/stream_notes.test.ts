import { expect } from 'chai';
import { noteLine, noteOf, type StreamNote } from '../../../../lib/server/cluster/stream_notes.js';

const params = {
  ...{
    do_remote_prefill: true as const,
    do_remote_decode: false as const,
    remote_engine_id: 'a',
    remote_request_id: 'r',
  },
  ...{ remote_block_ids: [0, 1], remote_host: '127.0.0.1', remote_port: 8000, remote_tls: false, tp_size: 1 as const },
  ...{ lease_id: '0'.repeat(32), lease_token: 'f'.repeat(64), seed: 2 ** 47 - 1 },
};

describe('notes to the router', () => {
  const cases: readonly (readonly [StreamNote, string])[] = [
    [{ kind: 'begun', seed: 7, created: 9, isMovable: true }, ': begun {"seed":7,"created":9,"movable":true}\n'],
    [{ kind: 'kv', params }, `: kv ${JSON.stringify(params)}\n`],
    [{ kind: 'resumed', numTokens: 12 }, ': resumed 12\n'],
    [{ kind: 'tokens', tokenIds: [17, 99] }, ': tokens 17 99\n'],
    [{ kind: 'tokens', tokenIds: [] }, ': tokens\n'],
    [{ kind: 'failed', code: 'engine_failed' }, ': failed engine_failed\n'],
    [{ kind: 'done' }, ': done\n'],
    [{ kind: 'moved' }, ': moved\n'],
  ];
  for (const [note, line] of cases) {
    it(`'${note.kind}' is ${line.slice(0, 40).trimEnd()}, and is read as it was written`, () => {
      expect(noteLine(note)).to.equal(line);
      expect(noteOf(line.slice(0, -1))).to.deep.equal(note);
    });
  }

  for (const line of ['data: {}', ': ping', ':', ': tokens17', 'tokens 17', ': Tokens 1', 'event: moved', '']) {
    it(`'${line}' is none of them`, () => expect(noteOf(line)).to.equal(null));
  }
});
