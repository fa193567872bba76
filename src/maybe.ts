/** What is there at once where the engine is in this process, and comes later where it is not. */
export type Maybe<T> = T | Promise<T>;

export const andThen = <T, U>(value: Maybe<T>, act: (value: T) => Maybe<U>): Maybe<U> =>
  value instanceof Promise ? value.then(act) : act(value);

/** Does `act`, and `end` when that is over, however and whenever it ends. */
export function andAfterwards<T>(act: () => Maybe<T>, end: () => void): Maybe<T> {
  let value: Maybe<T>;
  try {
    value = act();
  } catch (reason) {
    end();
    throw reason;
  }
  if (value instanceof Promise) return value.finally(end);
  end();
  return value;
}
