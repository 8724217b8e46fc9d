/** The API key, which stays in this tab: it is gone when the tab is closed, and no other tab has it. */

const STORED_AS = 'expertwire.api_key';

/** Null: none was given. */
export const storedKey = (): string | null => sessionStorage.getItem(STORED_AS);

/** Null forgets it. */
export function storeKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(STORED_AS);
  else sessionStorage.setItem(STORED_AS, key);
}
