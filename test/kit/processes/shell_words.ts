/** A line for a shell of POSIX as the words that a program gets: quotes, and no redirections. Enough for lines of documents. */
export function shellWords(line: string): string[] {
  const [command] = line.split(/ >>? /);
  return [...command!.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'),
  );
}
