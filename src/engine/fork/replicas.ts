/**
 * Sends a dump to the replicas that wait for it, as `updateReplicasWaitingBgsave` and `sendBulkToReplica` would, which this
 * build of Valkey does not have (replication.c): the length, the file, and from then on Valkey itself sends what has changed
 * since the copy. The file is sent in pieces, as fast as the replica reads.
 */
import type { EngineFolder } from "../files/engine-folder.ts";
import type { VirtualSocket } from "../virtual-socket.ts";
import type { ServerState } from "./server-state.ts";

/** Functions of Valkey that are called for a replica; all take the address of a client. */
export interface ReplicaFunctions {
  /** @returns 0 when the replica wanted the dump only */
  replicaPutOnline(client: number): number;
  replicaStartCommandStream(client: number): void;
  freeClientAsync(client: number): void;
}

export const REPLICA_FUNCTIONS: readonly (keyof ReplicaFunctions)[] = [
  "replicaPutOnline",
  "replicaStartCommandStream",
  "freeClientAsync",
];

/** The engine's connections. */
export interface ReplicaNetwork {
  socketOf(client: number): VirtualSocket | undefined;
  /** Has the engine deliver soon what was written to a socket. */
  notify(socket: VirtualSocket): void;
  /** Runs `act`, which calls Valkey, between two of the engine's steps. */
  inside(act: () => void): void;
}

interface ReplicasOptions {
  readonly folder: EngineFolder;
  readonly state: ServerState;
  readonly functions: ReplicaFunctions;
  readonly network: ReplicaNetwork;
  readonly log: { warn(text: string): void };
}

/** Values of `repl_state` of a replica. */
const ReplicaState = { waits: 7, isSent: 8 } as const;
const PIECE = 64 * 1024;
/** A replica that does not read is looked at again in this time, in milliseconds. */
const PAUSE_MS = 10;
const READING = {
  ...{ read: true, write: false, append: false, create: false },
  ...{ exclusive: false, truncate: false, directory: false },
};

interface Transfer {
  readonly client: number;
  readonly socket: VirtualSocket;
  readonly fd: number;
  /** Bytes that were read from the file and that the socket has not taken. */
  piece: Uint8Array;
  position: number;
}

export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #transfers = new Set<Transfer>();
  #ended = false;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  /** Begins to send the dump of a save that has ended. To be called within a step. @param saved whether there is a dump */
  saveEnded(saved: boolean): void {
    const { state, functions } = this.#options;
    for (const client of state.replicas) {
      if (state.replicaState(client) !== ReplicaState.waits) continue;
      if (!saved || !this.#begin(client)) functions.freeClientAsync(client);
    }
  }

  /** The engine has ended: files that are being sent are closed. */
  close(): void {
    this.#ended = true;
    for (const transfer of this.#transfers) this.#end(transfer);
  }

  #begin(client: number): boolean {
    const { folder, state, network, log } = this.#options;
    const socket = network.socketOf(client);
    if (socket === undefined) return false;
    try {
      const { fd } = folder.open(state.text("rdbFilename"), READING);
      const length = folder.calls.fstatSync(fd).size;
      const transfer: Transfer = { client, socket, fd, piece: Buffer.from(`$${length}\r\n`), position: 0 };
      this.#transfers.add(transfer);
      state.setReplicaState(client, ReplicaState.isSent);
      setImmediate(() => this.#send(transfer));
      return true;
    } catch (error) {
      log.warn(`a replica can not be sent the dump: ${String(error)}`);
      return false;
    }
  }

  /** Sends what the socket takes now. */
  #send(transfer: Transfer): void {
    const { socket } = transfer;
    if (!this.#transfers.has(transfer)) return;
    if (!this.#isWanted(transfer)) {
      this.#end(transfer);
      return;
    }
    let taken = 0;
    try {
      for (let more = !socket.paused; more; ) {
        if (transfer.piece.length === 0 && !this.#readOn(transfer)) {
          this.#sent(transfer);
          return;
        }
        const size = socket.accept(transfer.piece, 0, transfer.piece.length, undefined);
        transfer.piece = transfer.piece.subarray(size);
        taken += size;
        more = size > 0;
      }
    } catch (error) {
      this.#options.log.warn(`the dump for a replica can not be read: ${String(error)}`);
      this.#options.network.inside(
        () => this.#isWanted(transfer) && this.#options.functions.freeClientAsync(transfer.client),
      );
      this.#end(transfer);
      return;
    }
    if (taken > 0) this.#options.network.notify(socket);
    if (socket.paused || taken === 0) setTimeout(() => this.#send(transfer), PAUSE_MS).unref();
    else setImmediate(() => this.#send(transfer));
  }

  /** @returns false at the end of the file */
  #readOn(transfer: Transfer): boolean {
    const piece = Buffer.allocUnsafe(PIECE);
    const size = this.#options.folder.calls.readSync(transfer.fd, piece, 0, PIECE, transfer.position);
    transfer.piece = piece.subarray(0, size);
    transfer.position += size;
    return size > 0;
  }

  #sent(transfer: Transfer): void {
    const { client, socket } = transfer;
    const { network, functions } = this.#options;
    network.notify(socket);
    this.#end(transfer);
    network.inside(() => {
      if (!this.#isWanted(transfer)) return;
      if (functions.replicaPutOnline(client) !== 0) functions.replicaStartCommandStream(client);
      else functions.freeClientAsync(client);
    });
  }

  /** Is the client at this address still the one that the dump was begun for? */
  #isWanted({ client, socket }: Transfer): boolean {
    const { state, network } = this.#options;
    if (this.#ended || socket.closed || socket.ended || network.socketOf(client) !== socket) return false;
    return state.replicas.includes(client) && state.replicaState(client) === ReplicaState.isSent;
  }

  #end(transfer: Transfer): void {
    if (this.#transfers.delete(transfer)) this.#options.folder.calls.closeSync(transfer.fd);
  }
}
