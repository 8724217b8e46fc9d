export const benchGenerate = async (): Promise<void> => {
  await Promise.resolve();
};
