/**
 * Waits for parties that start side by side and hands them to `opened`. When one cannot start, those
 * that could are handed over all the same, so that nothing is left running; then its error is thrown.
 */
export async function startAll<const Parties extends readonly AsyncDisposable[]>(
  opened: AsyncDisposableStack,
  starting: { readonly [Index in keyof Parties]: Promise<Parties[Index]> },
): Promise<Parties> {
  const outcomes = await Promise.allSettled<AsyncDisposable>(starting);
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled" && !opened.disposed) opened.use(outcome.value);
    else if (outcome.status === "fulfilled") await outcome.value[Symbol.asyncDispose]();
  }
  return await Promise.all(starting);
}
