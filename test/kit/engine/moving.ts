import { expect } from 'chai';
import type { Engine } from '../../../lib/head/engine.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import { moe7mCases } from '../model/goldens.js';
import { generateIds, scoreIds } from './engines.js';

/** Experts move as often as they can. */
export const MOVING = ['enabled=true', 'step_interval=4', 'window_size=4', 'min_gain=0', 'cool_down=0'].map(
  (key) => `load_balance.${key}`,
);

const PROMPTS = moe7mCases()
  .slice(0, 3)
  .map(({ prompt_token_ids: ids }) => ids);

/** Logits of a prompt, and tokens and experts of all; where experts move, again and again with the same outcome until they moved twice. */
export async function outcome(engine: Engine, rebalances: readonly RebalanceEvent[] = [], isMoving = false) {
  const done = (): number => rebalances.filter(({ kind }) => kind === 'done').length;
  const generateAll = () => Promise.all(PROMPTS.map((promptTokenIds) => generateIds(engine, { promptTokenIds })));
  const generated = await generateAll();
  while (isMoving && done() < 2) expect(await generateAll()).to.deep.equal(generated);
  return { generated, logits: (await scoreIds(engine, PROMPTS[0]!)).logits };
}
