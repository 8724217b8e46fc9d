/** A request that goes on in another instance at a moment that a test says, whatever the machine does. */
import type { Answer } from './client.js';
import type { LiveInstance } from './live_instance.js';
import { until, type WholeCluster } from './whole_cluster.js';

export interface MovedOptions {
  /** Tokens that its source has told when it is asked to move, by two instances of which one computes it. */
  readonly at: number;
  /** Told who has it and who is to go on with it, before anybody is asked. Default: nobody. */
  readonly moving?: (source: LiveInstance, target: LiveInstance) => void;
  readonly signal?: AbortSignal;
}

/** Its source goes no further before it is to pause, or until `open` is called, which is told by `moving`. */
export async function askAndMove(
  cluster: WholeCluster,
  body: object,
  { at, moving = () => undefined, signal }: MovedOptions,
): Promise<Answer> {
  const { instances } = cluster;
  const id = cluster.nextId();
  for (const { gate } of instances) gate.closeAfter(at);
  let isOver = false;
  const asking = cluster.ask(body, { id, ...(signal && { signal }) });
  void asking.then(() => (isOver = true));
  const isHeld = (): boolean => instances.some(({ gate }) => gate.isHolding);
  await until(
    () => isOver || isHeld(),
    () => `nobody has the request ${JSON.stringify(body)}`,
  );
  const source = instances.find(({ gate }) => gate.isHolding);
  if (source === undefined) throw new Error(`it was over before it moved: ${JSON.stringify(await asking)}`);
  const target = instances.find((each) => each !== source)!;
  target.gate.open();
  // Who is to go on waits for the prompt.
  let hasPrompt = at > 0;
  source.onRequest = (what) => {
    if (what.endsWith('/pause')) setImmediate(() => source.gate.open());
    else if (what.startsWith('GET /v1/kv/leases') && !hasPrompt) {
      hasPrompt = true;
      source.gate.letOneGo();
    }
  };
  moving(source, target);
  // Its router may not have heard that it can move.
  const isWaiting = (): boolean => source.gate.isHolding && !isOver;
  const isDead = (): boolean => source.isDead || target.isDead || cluster.isRouterDead;
  while (!(await cluster.migrate(id, target.id)) && isWaiting() && !isDead());
  source.gate.open();
  source.onRequest = () => undefined;
  return asking;
}
