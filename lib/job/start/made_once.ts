/** `make` at the first call, for all that ask; where it fails, at the next call again. */
export function madeOnce<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => {
    if (made !== null) return made;
    const own = make();
    made = own;
    own.catch(() => (made = null));
    return own;
  };
}
