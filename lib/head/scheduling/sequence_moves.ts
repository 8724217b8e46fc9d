/**
 * Sequences on their way from one rank to another: which of their blocks go beside which step, and when they go on there. Pure bookkeeping.
 * Why: docs/decisions/elastic.md#sequences-move-beside-steps
 */
import type { KvPiece, KvReport, KvSizes, KvTransfer } from '../../protocol/kv_transfer.js';
import { isComputing, isGenerating, type Running } from './progress.js';
import type { SequenceBlocks } from './sequence_blocks.js';

/** A sequence that goes on elsewhere. */
export interface Arrival {
  readonly state: Running;
  readonly to: number;
  /** There, with all of its first tokens. */
  readonly blocks: number[];
  readonly numTokens: number;
}

/** What is still to be sent of a sequence. */
interface Rest {
  /** Its blocks, by their place in it, in the order in which they go. */
  readonly missing: readonly number[];
  /** Bytes of the first of them that are there. */
  readonly startByte: number;
}

interface Move {
  readonly state: Running;
  readonly to: number;
  /** Taken there, for its first tokens. */
  readonly blocks: number[];
  /** The first of them were there already. */
  readonly numFound: number;
  rest: Rest;
  /** The place of the block whose state goes along; −1: none does. */
  keptAt: number;
  /** It is known which blocks go; where no layer has a state, more do while it generates. */
  isListed: boolean;
  /** It computes nothing here any more. */
  isPaused: boolean;
  /** A step runs beside which blocks of it go. */
  isInFlight: boolean;
}

/** What of a sequence goes beside one step. */
interface Flight {
  readonly step: number;
  readonly move: Move;
  readonly pieces: readonly KvPiece[];
  /** When they are there. */
  readonly rest: Rest;
}

type IsWanted = (block: number) => boolean;

/** Holds the blocks that moving sequences are to have. The scheduler says who moves, and runs who has arrived. */
export class SequenceMoves {
  /** By sequence, in the order in which they began to move. */
  private readonly moves = new Map<number, Move>();
  private flights: Flight[] = [];

  /** `isWantedOn`: as SequenceBlocks asks, of a rank. */
  constructor(
    private readonly blocks: SequenceBlocks,
    private readonly limits: KvSizes & { readonly blockSize: number },
    private readonly isWantedOn: (rank: number) => IsWanted,
  ) {}

  get size(): number {
    return this.moves.size;
  }

  /** Whether a sequence is on its way. */
  has(sequence: number): boolean {
    return this.moves.has(sequence);
  }

  /** Whether a sequence computes nothing, because the last of its blocks are on their way. */
  isPaused(sequence: number): boolean {
    return this.moves.get(sequence)?.isPaused === true;
  }

  /** Those that are on their way, as they will run. */
  arriving(): Running[] {
    return [...this.moves.values()].map((move) => arrivingOf(move));
  }

  /** Whether a sequence that moves begins from the state of a block, here or there. */
  wants(rank: number, block: number): boolean {
    const isOf = ({ state, to, blocks, keptAt }: Move): boolean =>
      (state.rank === rank && state.blocks[keptAt] === block) || (to === rank && blocks[keptAt] === block);
    return [...this.moves.values()].some((move) => isOf(move));
  }

  /** A sequence that runs begins to move, behind what `to` holds of its tokens already. Returns it as it will run. */
  begin(state: Running, to: number): Running {
    const blocks = [...this.blocks.match(to, state)];
    this.blocks.share(to, blocks);
    const rest = { missing: [], startByte: 0 };
    const flags = { isListed: false, isPaused: false, isInFlight: false };
    const move = { state, to, blocks, numFound: blocks.length, rest, keptAt: -1, ...flags };
    this.moves.set(state.sequence, move);
    return arrivingOf(move);
  }

  /**
   * Those of which all is there that goes, until they have `mostTokens` tokens or more: they don't move any more, and their blocks are the caller's.
   */
  takeArrived(mostTokens: number): Arrival[] {
    const arrived: Arrival[] = [];
    let left = mostTokens;
    for (const move of this.moves.values()) {
      if (left <= 0 || !this.isThere(move)) continue;
      const { state, to, blocks } = move;
      this.moves.delete(state.sequence);
      arrived.push({ state, to, blocks, numTokens: this.numTokensOf(move) });
      left -= this.numTokensOf(move);
    }
    return arrived;
  }

  /** Decides what goes beside the next step, first come, first served, and who pauses for it; {@link transfersOf} once it is planned what that computes. */
  plan(step: number): void {
    const [sent, received] = [new Map<number, number>(), new Map<number, number>()];
    for (const move of this.moves.values()) {
      const { state, to } = move;
      if (move.isInFlight || isComputing(state)) continue;
      const [out, into] = [sent.get(state.rank) ?? 0, received.get(to) ?? 0];
      const budget = this.limits.bytesPerStep - Math.max(out, into);
      if (!this.list(move, budget)) continue;
      const { pieces, rest } = this.piecesOf(move, budget);
      if (pieces.length === 0) continue;
      const numBytes = pieces.reduce((sum, { start, end }) => sum + end - start, 0);
      sent.set(state.rank, out + numBytes);
      received.set(to, into + numBytes);
      move.isInFlight = true;
      this.flights.push({ step, move, pieces, rest });
    }
  }

  /** What goes beside a step, without those that gave way to what it computes. */
  transfersOf(step: number): KvTransfer[] {
    const transfers: { readonly from: number; readonly to: number; readonly pieces: KvPiece[] }[] = [];
    for (const { step: own, move, pieces } of this.flights) {
      const { sequence, rank: from } = move.state;
      const { to } = move;
      if (own !== step || this.moves.get(sequence) !== move) continue;
      const transfer = transfers.find((each) => each.from === from && each.to === to);
      if (transfer === undefined) transfers.push({ from, to, pieces: [...pieces] });
      else transfer.pieces.push(...pieces);
    }
    return transfers;
  }

  /** A step counts: what went beside it is there, but for transfers that failed. Returns the sequences of those: they move no more. */
  arrive(step: number, reports: readonly (KvReport | undefined)[]): number[] {
    const flights = this.flights.filter((flight) => flight.step === step);
    this.flights = this.flights.filter((flight) => flight.step !== step);
    const failed: number[] = [];
    for (const { move, rest } of flights) {
      const { sequence, rank } = move.state;
      if (this.moves.get(sequence) !== move) continue; // it ended meanwhile
      if (reports[move.to]?.failed.some(({ from }) => from === rank) === true) {
        this.drop(sequence);
        failed.push(sequence);
      } else this.landed(move, rest);
    }
    return failed;
  }

  /** A sequence ends, or goes on where it is. */
  drop(sequence: number): void {
    const move = this.moves.get(sequence);
    if (move === undefined) return;
    this.moves.delete(sequence);
    this.blocks.end({ sequence, rank: move.to, blocks: move.blocks, hasBegun: false });
  }

  /** The last one that began to move to a rank goes on where it is; false: there is none. */
  dropLastTo(rank: number): boolean {
    const last = [...this.moves.values()].findLast(({ to }) => to === rank);
    if (last !== undefined) this.drop(last.state.sequence);
    return last !== undefined;
  }

  /** All go on where they are; no step may be running. */
  clear(): void {
    for (const sequence of [...this.moves.keys()]) this.drop(sequence);
    this.flights = [];
  }

  private isThere({ state, blocks, rest, isInFlight, isListed }: Move): boolean {
    if (isInFlight || isComputing(state) || rest.missing.length > 0) return false;
    const isWhole = blocks.length * this.limits.blockSize >= state.numComputed;
    return isWhole || (isListed && this.blocks.hasStates);
  }

  /** Of those that are there, how many count: what others computed there may be more than it has. */
  private numTokensOf({ state, blocks, numFound }: Move): number {
    const { blockSize } = this.limits;
    if (this.blocks.hasStates) return blocks.length * blockSize;
    return Math.max(numFound * blockSize, Math.min(state.numComputed, blocks.length * blockSize));
  }

  /** Says which blocks go, and takes room for them; false: there is none, and the sequence stays for now. */
  private list(move: Move, budget: number): boolean {
    if (this.blocks.hasStates) return move.isListed || this.listToState(move);
    const { blockSize, rowBytes } = this.limits;
    const { state, blocks, rest } = move;
    const [numWhole, numAll] = [state.numComputed / blockSize, Math.ceil(state.numComputed / blockSize)];
    const numLeft = numAll - blocks.length + rest.missing.length;
    // The block that is being filled goes last, in the step in which nothing is added to it. Prompts fill blocks faster than they go.
    move.isPaused ||= numLeft * rowBytes - rest.startByte <= budget || !isGenerating(state);
    return this.extend(move, move.isPaused ? numAll : Math.floor(numWhole));
  }

  /** A state can't be taken while it changes: the sequence begins behind the last block that keeps one, and computes anew what comes after. */
  private listToState(move: Move): boolean {
    const { state, to, blocks, numFound } = move;
    const keptAt = this.blocks.lastKept(state);
    if (keptAt >= numFound && !this.extend(move, keptAt + 1)) return false;
    move.isListed = true;
    move.isPaused = !isGenerating(state);
    if (keptAt < numFound) return true;
    if (this.blocks.planKeep(to, blocks[keptAt]!, this.isWantedOn(to))) {
      move.keptAt = keptAt;
      move.rest = { missing: [keptAt, ...move.rest.missing.filter((at) => at !== keptAt)], startByte: 0 };
    } else {
      this.blocks.shrinkTo({ rank: to, blocks }, numFound);
      move.rest = { missing: [], startByte: 0 };
    }
    return true;
  }

  private extend(move: Move, numBlocks: number): boolean {
    const { to, blocks, rest, state } = move;
    const numHeld = blocks.length;
    const numNew = Math.max(numBlocks - numHeld, 0);
    if (numNew > this.blocks.numAvailable(to)) {
      this.drop(state.sequence);
      return false;
    }
    this.blocks.grow({ rank: to, blocks }, numBlocks * this.limits.blockSize);
    const added = Array.from({ length: numNew }, (_, i) => numHeld + i);
    move.rest = { ...rest, missing: [...rest.missing, ...added] };
    return true;
  }

  private piecesOf({ state, blocks, rest, keptAt }: Move, budget: number): { pieces: KvPiece[]; rest: Rest } {
    const { rowBytes, stateBytes } = this.limits;
    const pieces: KvPiece[] = [];
    let [numWhole, start, left] = [0, rest.startByte, budget];
    for (const at of rest.missing) {
      if (left <= 0) break;
      const numBytes = at === keptAt ? rowBytes + stateBytes : rowBytes;
      const end = Math.min(numBytes, start + left);
      pieces.push({ source: state.blocks[at]!, target: blocks[at]!, start, end, numBytes });
      left -= end - start;
      start = end;
      if (end < numBytes) break;
      numWhole++;
      start = 0;
    }
    return { pieces, rest: { missing: rest.missing.slice(numWhole), startByte: start } };
  }

  /** Whole blocks are found there from now on by whoever begins alike. */
  private landed(move: Move, rest: Rest): void {
    const { state, to, blocks, keptAt } = move;
    const landed = move.rest.missing.slice(0, move.rest.missing.length - rest.missing.length);
    for (const at of landed) this.blocks.sealAt(to, blocks[at]!, state, at);
    if (landed.includes(keptAt)) this.blocks.commitKeep(to, blocks[keptAt]!);
    move.rest = rest;
    move.isInFlight = false;
  }
}

const arrivingOf = ({ state, to, blocks }: Move): Running => ({ ...state, rank: to, blocks });
