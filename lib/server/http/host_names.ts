/** Names and addresses of hosts, as headers and sockets have them. Pure. */

/** Whether a name or address is this machine's own loopback. Brackets around IPv6 may be there. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '').replace(/^::ffff:/i, '');
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

/** The host of a Host header in small letters, without its port; undefined where it is none. */
export function hostOf(header: string): string | undefined {
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.exec(header.toLowerCase())?.[1];
}
