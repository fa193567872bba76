/**
 * How far a client's life is. It goes one way, and may leave stages out:
 *
 * | stage       | commands are read    | carried out | answered | it goes on                            |
 * |-------------|----------------------|-------------|----------|---------------------------------------|
 * | `serving`   | yes                  | yes         | yes      | when somebody ends it                 |
 * | `half-open` | there are no more    | yes         | yes      | when nothing is owed, or after a time |
 * | `finishing` | no                   | yes         | yes      | when nothing is owed                  |
 * | `leaving`   | no                   | no          | no       | when the engine ends the connection   |
 * | `ending`    | no                   | no          | no       | when what was written has left        |
 * | `closed`    | no                   | no          | no       |                                       |
 *
 * A client is half-open when it has closed its side. It finishes when the server stops, its requests can not be read, or the
 * engine is lost. It leaves when the engine has accepted its QUIT.
 */
const STAGES = ["serving", "half-open", "finishing", "leaving", "ending", "closed"] as const;

type Stage = (typeof STAGES)[number];

const placeOf = (stage: Stage): number => STAGES.indexOf(stage);

const [HALF_OPEN, FINISHING, LEAVING, CLOSED] = (["half-open", "finishing", "leaving", "closed"] as const).map(
  placeOf,
) as [number, number, number, number];

export class ClientLife {
  #place = 0;

  /** @returns false when it is there or further already */
  advance(stage: Stage): boolean {
    const place = placeOf(stage);
    if (place <= this.#place) return false;
    this.#place = place;
    return true;
  }

  /** Is what comes from the client to be read? */
  get reads(): boolean {
    return this.#place < FINISHING;
  }

  /** Are its commands carried out, and answered? */
  get serves(): boolean {
    return this.#place < LEAVING;
  }

  /** Does it end as soon as nothing is owed? */
  get endsWhenSettled(): boolean {
    return this.#place === HALF_OPEN || this.#place === FINISHING;
  }

  /** Has the client closed its side, and nobody ours? */
  get isHalfOpen(): boolean {
    return this.#place === HALF_OPEN;
  }

  get isClosed(): boolean {
    return this.#place === CLOSED;
  }
}
