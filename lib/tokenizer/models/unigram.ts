/** Unigram: of all ways to write a word as pieces the one whose scores sum up highest. */
import { PairTable } from './pair_table.js';
import { UNCOVERED, type ByteTokens, type TokenModel } from './token_model.js';

/** How far below the worst piece an unknown character is. */
const UNK_PENALTY = 10;

/** A part of texts, and how likely it is. */
export interface UnigramPiece {
  readonly text: string;
  readonly id: number;
  readonly score: number;
}

/** What a vocabulary does with characters without a piece. */
export interface UnigramOptions {
  readonly unkId?: number | undefined;
  /** What they become instead. Default: unknown. */
  readonly bytes?: ByteTokens | null | undefined;
  /** Scores are summed up in single precision, which decides between ways that are equally likely. Default: false. */
  readonly isSingle?: boolean | undefined;
  /** See {@link TokenModel.tokens}. Default: the pieces. */
  readonly tokens?: TokenModel['tokens'] | undefined;
}

/** Unigram as Hugging Face's tokenizers library does it: unknown characters in a row are one token. */
export class Unigram implements TokenModel {
  readonly vocab: ReadonlyMap<string, number>;
  readonly tokens: Iterable<readonly [text: string, id: number]>;
  private readonly scores: number[] = [];
  private readonly trie: Trie;
  private readonly unkScore: number;
  private readonly paths: Paths;

  constructor(
    pieces: readonly UnigramPiece[],
    private readonly options: UnigramOptions = {},
  ) {
    const entries = pieces.map(({ text, id }) => [text, id] as const);
    this.tokens = options.tokens ?? entries;
    this.vocab = new Map(entries);
    this.trie = new Trie(this.vocab);
    this.paths = new Paths(options.isSingle ?? false);
    let least = Infinity;
    for (const { id, score } of pieces) {
      this.scores[id] = score;
      least = Math.min(least, score);
    }
    this.unkScore = least - UNK_PENALTY;
  }

  /** See {@link TokenModel}. */
  encode(word: string, ids: number[]): void {
    this.paths.begin(word.length);
    for (let start = 0; start < word.length;) {
      const length = word.codePointAt(start)! > 0xffff ? 2 : 1;
      this.tryPieces(word, start, length);
      start += length;
    }
    for (const { start, end, id } of this.paths.best(word.length)) {
      if (id !== UNCOVERED) ids.push(id);
      else this.pushUnknown(word.slice(start, end), ids);
    }
  }

  private tryPieces(word: string, start: number, length: number): void {
    const score = this.paths.scoreAt(start);
    let isCovered = false;
    let node = 0;
    for (let end = start + 1; end <= word.length; end++) {
      node = this.trie.next(node, word.charCodeAt(end - 1));
      if (node < 0) break;
      const id = this.trie.idAt(node);
      if (id < 0) continue;
      this.paths.offer(start, end, id === this.options.unkId ? UNCOVERED : id, score + this.scores[id]!);
      isCovered ||= end === start + length;
    }
    if (!isCovered) this.paths.offer(start, start + length, UNCOVERED, score + this.unkScore);
  }

  private pushUnknown(text: string, ids: number[]): void {
    const known = this.vocab.get(text);
    if (known !== undefined) ids.push(known);
    else for (const id of this.options.bytes?.of(text) ?? [this.options.unkId ?? UNCOVERED]) ids.push(id);
  }
}

interface Part {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

/** The best way to each place of a word. */
class Paths {
  private scores: Float32Array | Float64Array;
  private starts = new Int32Array(64);
  private ids = new Int32Array(64);

  constructor(private readonly isSingle: boolean) {
    this.scores = this.room(64);
  }

  begin(length: number): void {
    if (length >= this.starts.length) {
      const size = 2 ** Math.ceil(Math.log2(length + 1));
      this.scores = this.room(size);
      this.starts = new Int32Array(size);
      this.ids = new Int32Array(size);
    }
    this.starts.fill(-1, 0, length + 1);
    this.scores[0] = 0;
  }

  scoreAt(place: number): number {
    return this.scores[place]!;
  }

  /** The first of equals stays. */
  offer(start: number, end: number, id: number, score: number): void {
    if (this.starts[end] !== -1 && (this.isSingle ? Math.fround(score) : score) <= this.scores[end]!) return;
    this.scores[end] = score;
    this.starts[end] = start;
    this.ids[end] = id;
  }

  private room(size: number): Float32Array | Float64Array {
    return this.isSingle ? new Float32Array(size) : new Float64Array(size);
  }

  /** Parts of the best way, unknown ones in a row as one. */
  best(length: number): Part[] {
    const parts: Part[] = [];
    for (let end = length; end > 0; end = this.starts[end]!) {
      const part = { start: this.starts[end]!, end, id: this.ids[end]! };
      const later = parts.at(-1);
      if (part.id === UNCOVERED && later?.id === UNCOVERED) parts[parts.length - 1] = { ...part, end: later.end };
      else parts.push(part);
    }
    return parts.reverse();
  }
}

/** Pieces by their UTF-16 units. */
class Trie {
  private readonly children: PairTable;
  private readonly ids: number[] = [-1];

  constructor(vocab: ReadonlyMap<string, number>) {
    this.children = new PairTable(4 * vocab.size);
    for (const [text, id] of vocab) {
      if (text === '') continue;
      let node = 0;
      for (let i = 0; i < text.length; i++) node = this.childOf(node, text.charCodeAt(i));
      this.ids[node] = id;
    }
  }

  /** The node behind a unit; -1: none. */
  next(node: number, unit: number): number {
    return this.children.get(node, unit);
  }

  /** The piece that ends at a node; -1: none. */
  idAt(node: number): number {
    return this.ids[node]!;
  }

  private childOf(node: number, unit: number): number {
    const known = this.children.get(node, unit);
    if (known >= 0) return known;
    this.children.set(node, unit, this.ids.length);
    return this.ids.push(-1) - 1;
  }
}
