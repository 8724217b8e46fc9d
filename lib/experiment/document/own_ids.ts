/** Several SVGs in one page: their ids are the page's. Pure. */

/** The same picture with ids that begin with `prefix`, where it defines and where it uses them. */
export const withOwnIds = (svg: string, prefix: string): string =>
  svg
    .replaceAll(/\bid="([^"]+)"/g, `id="${prefix}-$1"`)
    .replaceAll(/url\((['"]?)#([^)'"]+)\1\)/g, `url(#${prefix}-$2)`)
    .replaceAll(/\b((?:xlink:)?href)="#([^"]+)"/g, `$1="#${prefix}-$2"`);
