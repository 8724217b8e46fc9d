import { expect } from 'chai';
import { argumentOf, filled, placeholdersIn } from '../../../../lib/jobs/base/placeholders.js';

describe('placeholders of a command', () => {
  it('are found with their keys, and nothing else is', () => {
    expect(placeholdersIn('--seed=${item.seed} ${run}-${run} $5 ${} ${A}')).to.deep.equal([
      { text: '${item.seed}', name: 'item', key: 'seed' },
      { text: '${run}', name: 'run', key: null },
      { text: '${run}', name: 'run', key: null },
    ]);
  });

  it('are filled where something is known, once: what is put in isn’t read again', () => {
    const valueOf = ({ name, key }: { readonly name: string; readonly key: string | null }): string | undefined =>
      name === 'item' ? `\${run}${key ?? ''}` : undefined;
    expect(filled('${item} ${item.a} ${run}', valueOf)).to.equal('${run} ${run}a ${run}');
  });

  it('texts stay as they are, and other values are JSON', () => {
    expect(['a b', 1.5, true, null, { a: [1] }].map(argumentOf)).to.deep.equal([
      'a b',
      '1.5',
      'true',
      'null',
      '{"a":[1]}',
    ]);
  });
});
