import { expect } from 'chai';
import fc from 'fast-check';
import { decodeMessage, encodeMessage, type ControlMessageOf } from '../../comm/job/messages.js';
import { printable, printableLines, shown, textOf, withoutUsers } from '../../base/foreign_text.js';

// eslint-disable-next-line no-control-regex -- that is what must not be there
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/;

describe('text from elsewhere', () => {
  it('is shown without anything that a terminal obeys, and not long', () => {
    expect(printable('\x1b[2J\x9b31m a\r\nb \u202etxt')).to.equal('\\u001b[2J\\u009b31m a\\u000d\\u000ab \\u202etxt');
    expect(printable('x'.repeat(10_000))).to.equal(`${'x'.repeat(160)}… (10000 characters)`);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const clean = printable(text);
        expect(clean).not.to.match(CONTROL);
        expect(clean.length).to.be.at.most(6 * 160 + 30);
        expect(printableLines(text, 100).split('\n').join('')).not.to.match(CONTROL);
      }),
    );
    for (const plain of ['München → 東京 😀', 'a "b" \\c']) expect(printable(plain)).to.equal(plain);
  });

  it('tells who one is of no address', () => {
    expect(shown('nats://user:se"sa\\m@e@h:1,tls://k@b')).to.equal('"nats://…@b"');
    expect(shown({ bus: 'nats://u:p@h:1', mail: 'a@b' })).to.equal('{"bus":"nats://…@h:1","mail":"a@b"}');
    expect(shown(`nats://${'x'.repeat(300)}@h`)).to.equal('"nats://…@h"');
    expect(shown('nats://h:1')).to.equal('"nats://h:1"');
    expect(withoutUsers('{bus: nats://u:p@h')).to.equal('{bus: nats://…@h');
  });

  it('as a value is JSON, numbers by their names, however deep or long', () => {
    expect([shown(NaN), shown(-Infinity), shown(undefined), shown(null), shown('a\u001b')]).to.deep.equal([
      ...['NaN', '-Infinity', 'undefined', 'null', '"a\\u001b"'],
    ]);
    expect([shown(1n), shown([2n]), shown(() => 1), shown(Symbol('s'))]).to.deep.equal([
      ...['"1n"', '["2n"]', 'a function', 'a symbol'],
    ]);
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(shown(deep).length).to.be.below(200);
    expect(shown({ list: new Array(10_000).fill(7) }).length).to.be.below(200);
  });

  it('in what a peer says fails is cleaned when it arrives', () => {
    const told = { reason: `\u001b]0;owned\u0007${'y'.repeat(10_000)}`, advice: '\u001b[2J' };
    const error = { code: 'X\u001b', ...told, blames: [], host: '\u001b[31mred' };
    const message = decodeMessage(encodeMessage({ type: 'failed', error })) as ControlMessageOf<'failed'>;
    const { code, reason, advice, host } = message.error;
    expect(`${code}${reason}${advice}${host}`).not.to.match(CONTROL);
    expect(reason.length).to.be.below(2100);
  });

  it('of a file is UTF-8, its byte order mark left away, or refused with the line', () => {
    expect(textOf(Buffer.from('\uFEFFab\n\ufffd'))).to.equal('ab\n\ufffd');
    for (const [bytes, line] of [
      [[0xff], 1],
      [[0x61, 0x0a, 0xef, 0xbf, 0xbd, 0x0a, 0xc3, 0x28], 3],
      [[0x61, 0x0a, 0xe2, 0x82], 2],
    ] as const) {
      expect(() => textOf(Uint8Array.from(bytes))).to.throw(`line ${line} is not UTF-8; save it as UTF-8`);
    }
  });
});
