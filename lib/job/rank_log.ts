/** What native libraries write when they start, past their own log levels: nothing that a user could act on, or what is told in the error that follows. */
const NOISE = [
  /^WARNING: All log messages before absl::InitializeLog\(\)/,
  /^I0000 .* oneDNN custom operations are on/,
  /^Warning: Couldn't load Vulkan/,
  /^ +at .*\/dawn\/src\//,
  /^\s*$/,
];

/** Whether a line that a rank wrote is worth showing. */
export const isNews = (line: string): boolean => !NOISE.some((pattern) => pattern.test(line));
