/** What a server says of its keys and values, for readers. Pure. */
import { bytes, table } from '../../metrics/charts.js';
import type { KvAnswer } from '../../server/base/kv_answer.js';

type TierAnswer = KvAnswer['tiers'][number];

/** Lines, ending with a new line. */
export function kvText({ ranks, cache, tiers, pool }: KvAnswer): string {
  const rows = ranks.flatMap(({ rank, tiers: below, ...own }) => [
    [`rank ${rank}`, 'cache', blocksText(own), '', String(own.pinned_blocks)],
    ...below.map(({ tier, blocks, bytes: held, max_bytes: most }) => [
      ...['', tier, String(blocks), `${bytes(held)} of ${bytes(most)}`, ''],
    ]),
  ]);
  const found = [
    hitsText('cache', cache) + refusedText(cache),
    ...tiers.map((tier) => `${hitsText(tier.tier, tier)}${movedText(tier)}`),
    ...poolLines(pool),
  ];
  return `${[table([['', '', 'blocks', 'bytes', 'pinned'], ...rows]), '', ...found].join('\n')}\n`;
}

type CacheAnswer = Omit<KvAnswer['ranks'][number], 'rank' | 'tiers'>;

const blocksText = ({ blocks, used_blocks: used, cached_blocks: cached }: CacheAnswer): string =>
  `${used} used, ${cached} cached of ${blocks}`;

const refusedText = ({ refused_pins: n }: KvAnswer['cache']): string =>
  n === 0 ? '' : ` · ${n} blocks were to be pinned beyond engine.kv_pin_share`;

function hitsText(
  name: string,
  { queried_tokens: asked, hit_tokens: found }: { readonly queried_tokens: number; readonly hit_tokens: number },
): string {
  const share = asked === 0 ? '' : ` (${((100 * found) / asked).toFixed(1)} %)`;
  return `${name}: ${found} of ${asked} prompt tokens found${share}`;
}

const movedText = ({ stored_bytes: down, loaded_bytes: up, lost_blocks: lost }: TierAnswer): string =>
  ` · ${bytes(down)} down, ${bytes(up)} up${lost === 0 ? '' : ` · ${lost} blocks lost`}`;

function poolLines({ fetched, lent_blocks: lent, ...pool }: KvAnswer['pool']): string[] {
  const came = Object.entries(fetched).flatMap(([origin, { blocks, bytes: held, failed }]) =>
    blocks + failed === 0
      ? []
      : [` · ${blocks} blocks (${bytes(held)}) from other ${origin}s${failed === 0 ? '' : `, ${failed} failed`}`],
  );
  if (pool.queried_tokens + lent === 0 && came.length === 0) return [];
  return [`${hitsText('elsewhere', pool)}${came.join('')}${lent === 0 ? '' : ` · ${lent} blocks lent`}`];
}
