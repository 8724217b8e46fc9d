import { expect } from 'chai';
import { findDuplicateKey } from '../../../lib/weights/duplicate_keys.js';

describe('a JSON text with a repeated key', () => {
  it('is found at any depth, whatever the strings around it hold', () => {
    expect(findDuplicateKey('{"a": 1, "b": {"a": 2, "c": "a:{}"}}')).to.equal(undefined);
    expect(findDuplicateKey('{"a": 1, "b": [{"x": 1, "x": 2}]}')).to.equal('x');
    expect(findDuplicateKey('{"a\\"": 1, "a\\u0022": 2}')).to.equal('a"');
  });

  it('may hold strings of many megabytes, plain or escaped', () => {
    for (const long of ['x'.repeat(2 ** 24), '\\n'.repeat(2 ** 22)]) {
      expect(findDuplicateKey(`{"a": "${long}", "a": 1}`)).to.equal('a');
    }
  }).timeout(60_000);
});
