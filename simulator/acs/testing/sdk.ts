/** What a refused SDK call says, and nothing else; undefined when it was not refused. */
export async function refusalOf(attempt: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await attempt;
    return {};
  } catch (error) {
    const { statusCode, code, message } = error as Record<string, unknown>;
    return { statusCode, code, message };
  }
}
