/** Light or dark: as the system has it, or as whoever looks chose. */
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';

/** What can be chosen, in the order of the button. */
export const THEMES = ['auto', 'light', 'dark'] as const;
/** `auto`: as the system has it. */
export type Theme = (typeof THEMES)[number];

/** The choice, and what it comes to. */
export interface ThemeState {
  readonly theme: Theme;
  readonly isDark: boolean;
  readonly choose: (theme: Theme) => void;
}

const STORED_AS = 'expertwire.theme';

/** Keeps the document's `data-scheme`; the choice stays in this browser. */
export function useTheme(): ThemeState {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const [isSystemDark, setSystemDark] = useState(() => systemDark().matches);
  useEffect(() => {
    const query = systemDark();
    const onChange = (): void => setSystemDark(query.matches);
    query.addEventListener('change', onChange);
    return () => query.removeEventListener('change', onChange);
  }, []);
  const isDark = theme === 'auto' ? isSystemDark : theme === 'dark';
  // Children that read colours of the document do so later.
  document.documentElement.dataset.scheme = isDark ? 'dark' : 'light';
  useLayoutEffect(() => localStorage.setItem(STORED_AS, theme), [theme]);
  return { theme, isDark, choose: setTheme };
}

const systemDark = (): MediaQueryList => matchMedia('(prefers-color-scheme: dark)');

function storedTheme(): Theme {
  const stored = localStorage.getItem(STORED_AS);
  return THEMES.find((theme) => theme === stored) ?? 'auto';
}
