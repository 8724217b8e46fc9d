/** What TensorFlow's library writes on every start, past its own log level: nothing that a user could act on. */
const TENSORFLOW_START =
  /^WARNING: All log messages before absl::InitializeLog\(\)|^I0000 .* oneDNN custom operations are on/;

/** Whether a line that a rank wrote is worth showing. */
export const isNews = (line: string): boolean => !TENSORFLOW_START.test(line);
