/** Which of OpenAI's two ways of asking a load takes. */
export const ENDPOINTS = ['completions', 'chat'] as const;

/** One of {@link ENDPOINTS}. */
export type Endpoint = (typeof ENDPOINTS)[number];
