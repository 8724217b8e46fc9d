/** Which methods a path has: a wrong method is told apart from a wrong path. */
import type { ServerApp } from '../base/part.js';

/** Collects the routes that are added from now on. Returns the methods of a path; none: there is no such path. */
export function collectRoutes(app: ServerApp): (path: string) => readonly string[] {
  const routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+|\*/g, '[^/]+')}$`);
    routes.push({ pattern, methods: [method].flat() });
  });
  return (path) => routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods);
}
