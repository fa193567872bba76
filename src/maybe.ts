/** What is there at once where the engine is in this process, and comes later where it is not. */
export type Maybe<T> = T | Promise<T>;

export const andThen = <T, U>(value: Maybe<T>, act: (value: T) => Maybe<U>): Maybe<U> =>
  value instanceof Promise ? value.then(act) : act(value);
