/** What is told of the connections of scripts to other servers: of all there ever were. */
export interface ConnectionFigures {
  readonly open: number;
  readonly opened: number;
  readonly refused: number;
  /** Bytes. */
  readonly received: number;
  readonly sent: number;
}
