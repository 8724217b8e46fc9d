/** `launch --hosts`: the head here, ranks on other machines by ssh. Why: docs/decisions/launching.md#ssh-is-told-a-secret-and-ends-with-its-input */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PACKAGE } from '../../config/package_files.js';
import { parseAddress } from '../base/address.js';
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import { SharedTerminal } from '../base/shared_terminal.js';
import { readSecret, SECRET_VARIABLE } from '../engine/engine_options.js';
import { isOwn, type HostRanks } from './host_list.js';
import { hostError, hostStory, isLoss, isOfSsh, type HostLoss } from './host_losses.js';
import { HostProcess } from './host_process.js';
import { headPlaces, type HeadPlaces } from './head_places.js';
import { addressTowards, freePort, ownAddresses } from './reach.js';
import { remoteCommand } from './remote_command.js';

/** What is to run where. */
export interface HostsOrder {
  readonly hosts: readonly HostRanks[];
  /** Program and words before the host. */
  readonly ssh: readonly string[];
  /** The package's folder on the hosts. Default: where it is here. */
  readonly remoteFolder?: string | undefined;
  readonly listen?: string | undefined;
  readonly advertise?: string | undefined;
  readonly secretFile?: string | undefined;
  /** The head's command, with its configuration. */
  readonly command: readonly string[];
  /** Further options of the head, and of `expertwire rank` on the hosts. */
  readonly headOptions: readonly string[];
  readonly rankOptions: readonly string[];
}

/** Runs a command of this program. */
export type RunCommand = (args: readonly string[], context: CommandContext) => Promise<void>;

/** Of a host whose ssh ended, the head may tell the better reason, or go on without it. */
const HEAD_FIRST_MS = 2000;
/** Ranks of a job that ended well end by themselves. */
const PATIENCE_MS = 5000;
/** What ranks say of themselves when all is well. */
const JOINED = /^joined as rank \d+ \(process \d+\)$/;
const JOINING = 'joining the job at ';

/** @throws UsageError; EngineError RANK_LOST where a host couldn't be started or was lost; otherwise what the head's command throws */
export async function runOnHosts(order: HostsOrder, context: CommandContext, run: RunCommand): Promise<void> {
  const own = { hostname: hostname(), addresses: ownAddresses() };
  const here = order.hosts.filter((host) => isOwn(host, own));
  const elsewhere = order.hosts.filter((host) => !isOwn(host, own));
  const numLocal = here.reduce((sum, { numRanks }) => sum + numRanks, 0);
  if (elsewhere.length === 0)
    return run([...order.command, '--ranks', String(numLocal), ...order.headOptions], context);
  const secret = (await readSecret(order.secretFile, context.env)) ?? randomBytes(32).toString('hex');
  const places = await placesOf(order, elsewhere, own.addresses);
  const hosts = new Hosts(order, { elsewhere, numLocal, secret, places }, context);
  const numbers = ['--ranks', String(numLocal), '--wait-ranks', String(hosts.numRanks)];
  const advertise = places.advertise === undefined ? [] : ['--advertise', places.advertise];
  const head = [...order.command, '--listen', places.listen, ...numbers, ...advertise, ...order.headOptions];
  const signal = AbortSignal.any([context.signal, hosts.lost.signal]);
  const env = { ...context.env, [SECRET_VARIABLE]: secret };
  await hosts.during(() => run(head, { ...context, signal, env }));
}

/** Asks the system by which way each host is reached, unless all that is given. */
async function placesOf(
  { listen, advertise, ssh }: HostsOrder,
  elsewhere: readonly HostRanks[],
  own: readonly string[],
): Promise<HeadPlaces> {
  const asked = advertise === undefined ? elsewhere : [];
  const reached = await Promise.all(asked.map((host) => addressTowards(host, ssh)));
  const question = {
    reached: advertise === undefined ? reached : elsewhere.map(() => advertise),
    ...(listen !== undefined && { listen: parseAddress(listen) }),
    advertise,
    ownAddresses: own,
  };
  if (question.listen !== undefined && question.listen.port > 0) return headPlaces({ ...question, port: 0 });
  const { host } = parseAddress(headPlaces({ ...question, port: 0 }).listen);
  const port = await freePort(host);
  return headPlaces({ ...question, ...(question.listen !== undefined && { listen: { host, port } }), port });
}

/** Who runs elsewhere, and what they are told. */
interface Elsewhere {
  readonly elsewhere: readonly HostRanks[];
  readonly numLocal: number;
  readonly secret: string;
  readonly places: HeadPlaces;
}

/** The hosts of one job, from their start to their end. */
class Hosts {
  /** Aborted with the first host that the job can't do without. */
  readonly lost = new AbortController();
  readonly numRanks: number;
  private readonly processes: readonly HostProcess[];
  private readonly terminal: SharedTerminal;
  private readonly over = new AbortController();
  /** The first whose ssh itself failed. */
  private first: HostLoss | null = null;

  constructor(
    private readonly order: HostsOrder,
    { elsewhere, numLocal, secret, places }: Elsewhere,
    private readonly context: CommandContext,
  ) {
    context.signal.throwIfAborted();
    this.terminal = new SharedTerminal(context);
    let next = numLocal;
    this.processes = elsewhere.map((host, i) => {
      const first = next;
      next += host.numRanks;
      return this.start(host, { first, secret, head: places.heads[i]! });
    });
    this.numRanks = next - numLocal;
  }

  /** @throws the reason of {@link lost}, what `work` throws, or that ssh failed, which broke the work */
  async during(work: () => Promise<void>): Promise<void> {
    let isGood = false;
    await closing(
      () => this.close(isGood),
      async () => {
        try {
          await work();
          isGood = true;
        } catch (error) {
          if (this.context.signal.aborted) throw error;
          if (this.lost.signal.aborted) throw this.lost.signal.reason;
          throw this.first === null ? error : hostError(this.first, error);
        } finally {
          this.over.abort();
        }
      },
    );
  }

  private start(
    host: HostRanks,
    { first, secret, head }: { readonly first: number; readonly secret: string; readonly head: string },
  ): HostProcess {
    const { ssh, remoteFolder, rankOptions } = this.order;
    const hasLaunchScript = existsSync(join(PACKAGE, 'launch.sh'));
    const folder = (remoteFolder ?? PACKAGE).replace(/(?<=.)\/+$/, '');
    const { destination, numRanks } = host;
    const line = remoteCommand({ folder, hasLaunchScript, head, first, numRanks, options: rankOptions });
    let numJoined = 0;
    const started = new HostProcess({
      words: [...ssh, destination, line],
      env: this.context.env,
      secret,
      onLine: (text) => {
        if (JOINED.test(text)) numJoined++;
        else if (!text.startsWith(JOINING) && !this.context.signal.aborted)
          this.terminal.line(`[${destination}] ${text}`);
      },
    });
    void started.end.then((end) =>
      this.ended({ destination, first, numRanks, end, haveJoined: numJoined >= numRanks, ssh }),
    );
    return started;
  }

  private async ended(loss: HostLoss): Promise<void> {
    if (!isLoss(loss) || this.isOver()) return;
    if (isOfSsh(loss.end)) this.first ??= loss;
    await delay(HEAD_FIRST_MS, undefined, { ref: false });
    if (this.isOver()) return;
    if (!loss.haveJoined) this.lost.abort(hostError(loss));
    else this.terminal.line(`warning: ${hostStory(loss)}`);
    this.first = null; // the job goes on without it
  }

  /** The head's command has ended. */
  private isOver(): boolean {
    return this.over.signal.aborted;
  }

  private async close(isGood: boolean): Promise<void> {
    await Promise.all(this.processes.map((each) => each.close(isGood ? PATIENCE_MS : 0)));
  }
}
