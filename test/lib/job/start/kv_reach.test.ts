import { expect } from 'chai';
import { CLUSTER_DEFAULTS } from '../../../../lib/config/cluster_schema.js';
import type { ExpertwireConfig } from '../../../../lib/config/schema.js';
import { kvReachOf } from '../../../../lib/job/start/kv_reach.js';

interface Reached {
  readonly host: string;
  readonly url?: string;
  readonly advertise?: string;
  readonly enabled?: boolean;
}

const reachOf = ({ host, url, advertise, enabled = true }: Reached): unknown =>
  kvReachOf(
    {
      cluster: { ...CLUSTER_DEFAULTS, enabled, url: url ?? null },
      server: { host } as ExpertwireConfig['server'],
    },
    advertise,
  );

describe('doors for ranks of other instances', () => {
  const cases: readonly (readonly [string, Reached, { bind: string; advertise: string } | undefined])[] = [
    ['are with the data links where the instance is for its machine', { host: '127.0.0.1' }, undefined],
    ['and where nobody says how its machine is called', { host: '0.0.0.0' }, undefined],
    ['are where the server listens', { host: '10.0.0.2' }, { bind: '10.0.0.2', advertise: '10.0.0.2' }],
    [
      'are found by the host of cluster.url',
      { host: '0.0.0.0', url: 'http://10.0.0.2:80' },
      { bind: '0.0.0.0', advertise: '10.0.0.2' },
    ],
    ['also one of IPv6', { host: '::', url: 'https://[fd00::2]:80' }, { bind: '::', advertise: 'fd00::2' }],
    [
      'are found by what --advertise says before all else',
      { host: '10.0.0.2', url: 'http://a.example', advertise: 'b.example' },
      { bind: '10.0.0.2', advertise: 'b.example' },
    ],
    [
      'stand beside a proxy of their machine',
      { host: '127.0.0.1', url: 'https://a.example' },
      { bind: '0.0.0.0', advertise: 'a.example' },
    ],
    ['are none of a server alone', { host: '10.0.0.2', enabled: false }, undefined],
  ];
  for (const [title, reached, reach] of cases) it(title, () => expect(reachOf(reached)).to.deep.equal(reach));
});
