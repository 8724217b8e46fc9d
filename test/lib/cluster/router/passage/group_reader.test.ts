import { expect } from 'chai';
import { GroupReader } from '../../../../../lib/cluster/router/passage/group_reader.js';
import { MAX_HELD_BYTES } from '../../../../../lib/cluster/router/passage/event_splitter.js';
import { UpstreamError } from '../../../../../lib/cluster/router/upstream/upstream_error.js';
import { noteLine, type StreamNote } from '../../../../../lib/server/cluster/stream_notes.js';
import { errorOf } from '../../../../kit/rejects.js';

type Told = readonly [note: StreamNote | null, text: string];

const begun = (isMovable: boolean): StreamNote => ({ kind: 'begun', seed: 5, created: 6, isMovable });
const tokens = (...tokenIds: readonly number[]): StreamNote => ({ kind: 'tokens', tokenIds });

/** As an instance writes it: the last of several blocks has the note. */
const written = ([note, text]: Told): string => {
  const blocks = text.split('\n\n').slice(0, -1);
  const line = note === null ? '' : noteLine(note);
  if (blocks.length === 0) return `${line}\n`;
  return blocks.map((block, i) => `${i === blocks.length - 1 ? line : ''}${block}\n\n`).join('');
};

const read = (text: string, ...ends: readonly number[]): readonly Told[] => {
  const reader = new GroupReader();
  const bytes = Buffer.from(text);
  return [0, ...ends].flatMap((start, i) =>
    reader
      .push(bytes.subarray(start, ends[i] ?? bytes.length))
      .map(({ note, bytes: told }): Told => [note, String(told)]),
  );
};

const STREAM: readonly Told[] = [
  [begun(true), ''],
  [tokens(17, 99), 'data: {"role":"assistant"}\n\ndata: ü\n\n'],
  [tokens(3), 'event: x\ndata: 1\n\n'],
  [tokens(), 'data: {}\n\n'],
  [{ kind: 'resumed', numTokens: 4 }, ''],
  [{ kind: 'failed', code: 'draining' }, 'data: {"error":{}}\n\n'],
  [{ kind: 'moved' }, ''],
  [{ kind: 'done' }, 'data: 2\n\ndata: [DONE]\n\n'],
];

describe('the stream of an instance of ours', () => {
  const text = STREAM.map(written).join('');

  it('comes in groups without their comments, wherever chunks end', () => {
    expect(read(text)).to.deep.equal(STREAM);
    for (let at = 0; at <= Buffer.byteLength(text); at++) expect(read(text, at)).to.deep.equal(STREAM);
  });

  it('comes byte by byte too', () => {
    const ends = Array.from({ length: Buffer.byteLength(text) - 1 }, (_, i) => i + 1);
    expect(read(text, ...ends)).to.deep.equal(STREAM);
  });

  it('may begin with several events, and says so first', () => {
    const opening: Told = [begun(true), 'event: a\ndata: 1\n\nevent: b\ndata: 2\n\n'];
    const whole = `: opening\n${written(opening)}`;
    for (let at = 0; at <= whole.length; at++) expect(read(whole, at)).to.deep.equal([opening]);
  });

  it('keeps comments that are nobody’s', () => {
    expect(read(`: ping\n\n${written([tokens(1), 'data: 1\n\n'])}`)).to.deep.equal([
      [tokens(1), ': ping\n\ndata: 1\n\n'],
    ]);
  });

  it('comes event by event where the request can’t move', () => {
    const stream: readonly Told[] = [
      [begun(false), ''],
      [null, 'data: 1\n\n'],
      [null, 'data: 2\n\n'],
      [{ kind: 'done' }, 'data: [DONE]\n\n'],
    ];
    expect(read(stream.map(written).join(''))).to.deep.equal(stream);
  });

  for (const line of [
    ...[': begun {"seed"', ': begun {"seed":null,"created":1,"movable":true}', ': kv {"x"', ': kv {}'],
    ...[': tokens 1 x', ': tokens 1  2', ': tokens -1', ': resumed 1.5', ': resumed'],
  ]) {
    it(`is given up with a damaged note: ${line}`, async () => {
      const error = await errorOf(UpstreamError, () => new GroupReader().push(Buffer.from(`${line}\n\n`)));
      expect([error.code, error.message]).to.deep.equal([
        'NOT_HTTP',
        `NOT_HTTP: the note '${line.split(' ')[1]}' of a stream is damaged`,
      ]);
    });
  }

  it('is given up where a group has no end', async () => {
    const reader = new GroupReader();
    const half = Buffer.from('data: 1\n\n'.repeat(MAX_HELD_BYTES / 16));
    reader.push(half);
    expect((await errorOf(UpstreamError, () => reader.push(half))).code).to.equal('NOT_HTTP');
  });
});
