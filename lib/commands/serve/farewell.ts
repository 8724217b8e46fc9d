/** What a server that ends says of requests that still run. Pure. */

/** When it was asked to end. `count`: over 0. */
export const finishing = (count: number): string => `finishing ${requests(count)}; another signal ends at once`;

/** When it waited in vain. `count`: over 0. */
export const cutOff = (count: number): string => {
  const be = count === 1 ? 'was' : 'were';
  return `warning: ${requests(count)} ${be} still running after server.drain_timeout_ms, and ${be} cut off`;
};

const requests = (count: number): string => `${count} ${count === 1 ? 'request' : 'requests'}`;
