import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { repoRoot } from './kit/paths.js';

const root = repoRoot();
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const filesOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`);

const FOLDERS = [
  'base',
  'comm',
  'compute',
  'experts',
  'lib',
  'bench',
  'scripts',
  'test',
  'configs',
  'docs',
  'examples',
  'models',
];
const files = FOLDERS.flatMap(filesOf);
const documents = ['README.md', 'CONTRIBUTING.md', ...files.filter((file) => /^docs\/.*\.md$/.test(file))];

/** A document without its fenced blocks. */
const proseOf = (file: string): string => read(file).replace(/^```[\s\S]*?^```$/gm, '');
const codeSpansOf = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);

/** As GitHub makes them. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
const anchorsOf = (file: string, level: RegExp): string[] =>
  [...proseOf(file).matchAll(level)].map((match) => anchorOf(match[1]!));

describe('the documents', () => {
  it('are short where they are read first', () => {
    expect(read('README.md').trimEnd().split('\n')).to.have.length.of.at.most(150);
    expect(read('docs/structures.md').trimEnd().split('\n')).to.have.length.of.at.most(80);
  });

  it('have no table cell over 120 characters', () => {
    const cells = documents.flatMap((file) =>
      proseOf(file)
        .split('\n')
        .filter((line) => line.startsWith('|') && !/^[|\s:-]+$/.test(line))
        .flatMap((line) => line.split(/(?<!\\)\|/).map((cell) => `${file}: ${cell.trim()}`)),
    );
    expect(cells).to.have.length.above(100);
    expect(cells.filter((cell) => cell.slice(cell.indexOf(': ') + 2).length > 120)).to.deep.equal([]);
  });

  it('have no line that nobody reads to its end', () => {
    const others = files.filter((file) => /^(scripts|models|configs)\/.*\.md$/.test(file));
    const lines = [...documents, ...others, 'CHANGELOG.md'].flatMap((file) =>
      read(file)
        .split('\n')
        .map((line) => ({ file, line })),
    );
    expect(lines.filter(({ line }) => line.length > 260 && !line.startsWith('|'))).to.deep.equal([]);
  });

  it('link only to files and headings that exist', () => {
    const links = documents.flatMap((file) =>
      [...proseOf(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)].map(([, path, anchor]) => ({
        file,
        target: path === '' ? file : join(dirname(file), path!),
        anchor,
      })),
    );
    expect(links).to.have.length.above(20);
    const broken = links.filter(({ target, anchor }) => {
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(target, /^#+ (.+)$/gm).includes(anchor);
    });
    expect(broken).to.deep.equal([]);
  });

  it('name only paths that exist', () => {
    const spans = documents.flatMap((file) => codeSpansOf(proseOf(file)).map((span) => ({ file, span })));
    const inFolders = spans.filter(({ span }) => new RegExp(`^(${FOLDERS.join('|')})/\\S*$`).test(span));
    const byName = spans.filter(({ span }) => /^[a-z][\w./-]*\.(ts|mjs)$/.test(span));
    expect(inFolders).to.have.length.above(30);
    expect([
      ...inFolders.filter(({ span }) => !existsSync(join(root, span))),
      ...byName.filter(({ span }) => !files.some((file) => `/${file}`.endsWith(`/${span}`))),
    ]).to.deep.equal([]);
  });

  it('the map draws only folders that exist, and all of them down to the second level', () => {
    const above = ['']; // for each depth, the folder that its lines are in
    const drawn = [...read('docs/structures.md').matchAll(/^( *)((?:\w+\/ ?)+)/gm)].flatMap(([, indent, names]) => {
      const depth = indent!.length / 2;
      const paths = names!
        .trim()
        .split(' ')
        .map((name) => `${above[depth]!}${name}`);
      above[depth + 1] = paths.at(-1)!;
      return paths;
    });
    const folders = ['comm', 'compute', 'experts', 'lib'].flatMap((folder) => [
      `${folder}/`,
      ...readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [`${folder}/${entry.name}/`] : [],
      ),
    ]);
    expect(drawn).to.include.members(folders);
    expect(drawn.filter((path) => !existsSync(join(root, path)))).to.deep.equal([]);
  });
});

describe('the decisions', () => {
  const decisions = documents.filter((file) => /^docs\/decisions\/[a-z_]+\.md$/.test(file));

  it('are all linked from the code that they explain, and every link of the code leads to one', () => {
    const linked = files
      .filter((file) => /\.(tsx?|mjs)$/.test(file) && !file.startsWith('test/'))
      .flatMap((file) => [...read(file).matchAll(/docs\/decisions\/[\w.#-]+/g)].map((match) => match[0]));
    const headings = decisions.flatMap((file) => anchorsOf(file, /^## (.+)$/gm).map((anchor) => `${file}#${anchor}`));
    expect(headings).to.have.length.above(40);
    expect([...new Set(linked)].sort()).to.deep.equal(headings.sort());
  });

  it('are all in the list of topics', () => {
    const topics = decisions.map((file) => file.replace('docs/decisions/', ''));
    const listed = [...read('docs/decisions/README.md').matchAll(/^- \[(\w+\.md)\]/gm)].map((match) => match[1]!);
    expect(listed.sort()).to.deep.equal(topics.sort());
  });
});

describe('how to add something', () => {
  const sections = read('CONTRIBUTING.md').split(/^### /m).slice(1);
  /** However it is spelled: tiny-qwen3-moe and qwen3Moe name qwen3_moe. */
  const plain = (text: string): string => text.toLowerCase().replace(/[-_]/g, '');

  it('names examples', () => expect(sections).to.have.length.of.at.least(5));

  for (const section of sections) {
    const title = section.split('\n')[0]!;

    it(`${title}: every file of the list names the example`, () => {
      const example = /^As `(\w+)`/m.exec(section)![1]!;
      const listed = [...section.matchAll(/^- `([^`]+)`/gm)].map((match) => match[1]!);
      expect(listed).to.have.length.above(2);
      const silent = listed.filter((path) => {
        const text = statSync(join(root, path)).isFile() ? read(path) : '';
        return !plain(path + text).includes(plain(example));
      });
      expect(silent).to.deep.equal([]);
    });
  }
});
