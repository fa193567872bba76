/** The text of the error that a promise is rejected with, as by an error reply. @throws Error when it is not rejected */
export async function errorOf(outcome: Promise<unknown>): Promise<string> {
  const value = await outcome.then(
    (given) => ({ given }),
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (typeof value === "string") return value;
  throw new Error(`expected an error, got ${JSON.stringify(value.given)}`);
}
