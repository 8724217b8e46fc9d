/** The main of a rank process that exchanges rows with toy experts on its parent's word: comm alone, without head or model. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  asRank,
  CommError,
  createAllToAll,
  listenForPeers,
  openWsMesh,
  type AllToAll,
  type CommErrorCode,
  type DispatchResult,
  type Mesh,
  type MeshStats,
  type StepTag,
} from '../../../comm/index.js';
import { inputOf, runExperts, type ExchangeSetup } from './all_to_all.js';

/** What a parent says. Every command is answered with one Reply, in order. */
export type Command =
  | { readonly kind: 'open'; readonly addresses: readonly { readonly host: string; readonly port: number }[] }
  | { readonly kind: 'dispatch'; readonly tag: StepTag }
  | { readonly kind: 'combine' }
  /** Two dispatches in flight, each with all tokens, and their combines; the second one's result counts. */
  | { readonly kind: 'micro_batches'; readonly step: number }
  | { readonly kind: 'stats' }
  | { readonly kind: 'clear_mask' }
  | { readonly kind: 'epoch'; readonly epoch: number }
  /** Dispatch and combine again and again; rank r has `sizes[(step + r) mod their number]` tokens. */
  | { readonly kind: 'pairs'; readonly from: number; readonly count: number; readonly sizes: readonly number[] }
  | { readonly kind: 'close' };

/** An error as it travels to the parent. */
export interface ReportedError {
  readonly code: CommErrorCode;
  readonly message: string;
  readonly rank?: number | undefined;
  readonly layer?: number | undefined;
  readonly phase?: string | undefined;
  readonly waitedMs?: number | undefined;
}

export interface Reply {
  readonly port?: number;
  readonly error?: ReportedError;
  /** Since the command came. */
  readonly tookMs?: number;
  readonly numRecvTokens?: number;
  readonly y?: readonly number[];
  readonly degradedRows?: readonly number[];
  readonly maskedRanks?: readonly number[];
  readonly mesh?: MeshStats;
  /** Bytes in use after garbage collections: JS heap, and array buffers and the like beside it. */
  readonly heapBytes?: number;
  /** What the system says that the process has of memory. */
  readonly residentBytes?: number;
}

class ExchangeRank {
  private mesh: Mesh | undefined;
  private ep: AllToAll | undefined;
  private recv: DispatchResult | undefined;

  constructor(private readonly setup: ExchangeSetup) {}

  async obey(command: Command, server: Awaited<ReturnType<typeof listenForPeers>>): Promise<Reply> {
    switch (command.kind) {
      case 'open':
        return this.open(command.addresses, server);
      case 'dispatch':
        this.recv = await this.ep!.dispatch({ ...inputOf(this.setup, this.setup.rank), tag: command.tag });
        return { numRecvTokens: this.recv.numRecvTokens, maskedRanks: this.ep!.maskedRanks() };
      case 'combine': {
        const recv = this.recv!;
        const y = await this.ep!.combine(runExperts(recv, this.setup.rank, this.setup), recv.handle);
        return { y: [...y], degradedRows: [...recv.degraded.rows()], maskedRanks: this.ep!.maskedRanks() };
      }
      case 'micro_batches':
        return this.microBatches(command.step);
      case 'stats':
        return { mesh: this.mesh!.stats(), maskedRanks: this.ep!.maskedRanks() };
      case 'clear_mask':
        this.ep!.clearMask();
        return {};
      case 'epoch':
        this.mesh!.advanceEpoch(command.epoch);
        return {};
      case 'pairs':
        return this.pairs(command.from, command.count, command.sizes);
      case 'close':
        await this.mesh?.close();
        return {};
    }
  }

  private async open(
    addresses: readonly { readonly host: string; readonly port: number }[],
    server: Awaited<ReturnType<typeof listenForPeers>>,
  ): Promise<Reply> {
    const { rank, size, timeoutMs, onPeerLoss, hidden, numTopk, slotsPerRank, reduce, wire } = this.setup;
    const job = { secret: 'secret', fingerprint: 'f', jobId: 'job', timeoutMs: 20_000 };
    this.mesh = await openWsMesh({ rank: asRank(rank), size, addresses, server, microBatches: 2, ...job });
    const shape = { hidden, numTopk, slotsPerRank, reduce, wire };
    this.ep = createAllToAll(this.mesh, { ...shape, timeoutMs, onPeerLoss });
    return {};
  }

  private async microBatches(step: number): Promise<Reply> {
    const input = inputOf(this.setup, this.setup.rank);
    const ep = this.ep!;
    const dispatched = [0, 1].map((microBatch) =>
      ep.startDispatch({ ...input, tag: { step, layer: 7, microBatch, epoch: 0 } }),
    );
    const received = await Promise.all(dispatched.map((pending) => pending.hook()));
    const combining = received.map((recv) =>
      ep.startCombine(runExperts(recv, this.setup.rank, this.setup), recv.handle),
    );
    const [, y] = await Promise.all(combining.map((pending) => pending.hook()));
    return { y: [...y!], degradedRows: [...received[1]!.degraded.rows()], maskedRanks: ep.maskedRanks() };
  }

  /** The results of a size must never change; every other time the rows' memory is given back. */
  private async pairs(from: number, count: number, sizes: readonly number[]): Promise<Reply> {
    const { rank, size } = this.setup;
    const inputs = sizes.map((_, turn) => {
      const numTokens = Array.from({ length: size }, (_, r) => sizes[(turn + r) % sizes.length]!);
      return inputOf({ ...this.setup, numTokens }, rank);
    });
    const first = new Map<number, Float32Array>();
    for (let step = from; step < from + count; step++) {
      const tag = { step, layer: step % 3, microBatch: 0, epoch: 0 };
      const turn = step % sizes.length;
      const recv = await this.ep!.dispatch({ ...inputs[turn]!, tag });
      const out = runExperts(recv, rank, this.setup);
      if (step % 2 === 0) recv.release();
      const y = await this.ep!.combine(out, recv.handle);
      if (!first.has(turn)) first.set(turn, y);
      if (!sameBits(y, first.get(turn)!)) {
        throw new CommError('PROTOCOL', `step ${step} gave other bits than one like it; look for a race`);
      }
    }
    for (let round = 0; round < 3; round++) {
      globalThis.gc!();
      await nextTurn(); // array buffers are freed beside and after a collection
    }
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heapBytes: heapUsed + external, residentBytes: rss, y: [...first.get(from % sizes.length)!] };
  }
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}

function reported(error: unknown): ReportedError {
  if (!(error instanceof CommError)) throw error;
  const { code, message, rank, layer, phase, waitedMs } = error;
  return { code, message, rank, layer, phase, waitedMs };
}

async function main(): Promise<void> {
  const setup = JSON.parse(process.argv[2]!) as ExchangeSetup;
  const rank = new ExchangeRank(setup);
  const server = await listenForPeers({ host: '127.0.0.1', port: 0 });
  process.on('message', (command: Command) => {
    const startMs = performance.now();
    void rank
      .obey(command, server)
      .catch((error: unknown): Reply => ({ error: reported(error) }))
      .then((reply) => {
        process.send!({ ...reply, tookMs: performance.now() - startMs });
        if (command.kind === 'close') process.disconnect();
      });
  });
  // A rank whose test is gone ends itself.
  process.on('disconnect', () => process.exit(0));
  process.send!({ port: server.port } satisfies Reply);
}

await main();
