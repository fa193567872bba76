/**
 * Runs inside the realm. What Python's wasm may call in JavaScript.
 *
 * Emscripten puts every library function into one object, from which both the wasm's imports and `dlsym` are served. So the
 * entries of that object are replaced: some functions stay, some answer a constant, and all others (the whole bridge between
 * Python and JavaScript objects among them) end the worker once scripts may run.
 */

type WasmFunction = ((...args: unknown[]) => unknown) & { sig?: string };

/** Needed by ordinary Python; they reach the wasm's own memory, the in-memory file system and the clock. */
const allowed = new Set(
  `clock_res_get clock_time_get environ_get environ_sizes_get fd_close fd_fdstat_get fd_pread fd_pwrite fd_read fd_seek
  fd_sync fd_write proc_exit random_get exit __assert_fail _abort_js __call_sighandler
  _Py_CheckEmscriptenSignals_Helper _PyEM_TrampolineCall_JS _Py_emscripten_runtime
  __syscall_chdir __syscall_chmod __syscall_dup __syscall_dup3 __syscall_faccessat __syscall_fadvise64 __syscall_fallocate
  __syscall_fchdir __syscall_fchmod __syscall_fchmodat2 __syscall_fchown32 __syscall_fchownat __syscall_fcntl64
  __syscall_fdatasync __syscall_fstat64 __syscall_fstatfs64 __syscall_ftruncate64 __syscall_getcwd __syscall_getdents64
  __syscall_getuid32_js __syscall_ioctl __syscall_lstat64 __syscall_mkdirat __syscall_newfstatat __syscall_openat
  __syscall_poll __syscall_readlinkat __syscall_renameat __syscall_rmdir __syscall_stat64 __syscall_statfs64
  __syscall_symlinkat __syscall_truncate64 __syscall_umask_js __syscall_unlinkat __syscall_utimensat
  _gmtime_js _localtime_js _mktime_js _timegm_js _tzset_js _mmap_js _munmap_js _msync_js
  _emscripten_get_progname _emscripten_runtime_keepalive_clear emscripten_date_now emscripten_get_heap_max
  emscripten_get_now emscripten_resize_heap emscripten_runtime_keepalive_pop emscripten_runtime_keepalive_push
  can_run_sync_js _maybe_poll_async _try_fcntl64`.split(/\s+/),
);

/** The functions of the linker, which have guards of their own, see {@link guardLinker}. */
const linker = new Set(["_dlopen_js", "_dlsym_js"]);

const ENOSYS = 52;
const EPERM = 63;
const EAI_NONAME = -2;

/** Functions that can not work here, with the error that each answers. */
const constants: Readonly<Record<string, number>> = {
  // No sockets and no pipes (their buffers would be memory outside every limit).
  __syscall_socket: -ENOSYS,
  __syscall_accept4: -ENOSYS,
  __syscall_bind: -ENOSYS,
  __syscall_connect: -ENOSYS,
  __syscall_listen: -ENOSYS,
  __syscall_recvfrom: -ENOSYS,
  __syscall_recvmsg: -ENOSYS,
  __syscall_sendmsg: -ENOSYS,
  __syscall_sendto: -ENOSYS,
  __syscall_getpeername: -ENOSYS,
  __syscall_getsockname: -ENOSYS,
  __syscall_getsockopt: -ENOSYS,
  __syscall_pipe: -ENOSYS,
  __syscall_mknodat: -EPERM,
  _emscripten_system: -ENOSYS,
  getaddrinfo: EAI_NONAME,
  getnameinfo: EAI_NONAME,
  getprotobyname: 0,
  _emscripten_lookup_name: 0,
  _try_shutdown: 0,
  // A timer would need an event loop.
  _setitimer_js: -1,
};

/** How the guards are switched. */
export interface Guards {
  /** Closes what only booting needs: scripts may run from now on. */
  lock(): void;
  /** Lets the linker load shared libraries while the function runs: those of packages, from their read-only files. */
  linking(link: () => void): void;
  /** A library was loaded in another way, as the interpreter's snapshot has it. @param handle the linker's record of it */
  linked(handle: number): void;
}

/** Guards the imports in place. */
export function guardImports(
  env: Record<string, unknown>,
  { die, denied }: { readonly die: (reason: string) => never; readonly denied: () => void },
): Guards {
  let locked = false;
  const refuse = (answer: number): number => {
    if (locked) denied();
    return answer;
  };
  for (const name of Object.keys(env)) {
    const original = env[name];
    if (typeof original !== "function" || allowed.has(name) || linker.has(name)) continue;
    const constant = constants[name];
    const inner = original as WasmFunction;
    const guarded: WasmFunction =
      constant !== undefined
        ? () => refuse(constant)
        : (...args) => (locked ? die(`Python called JavaScript (${name}), which is not allowed`) : inner(...args));
    // The linker needs the signature to put the function into the wasm's table.
    if (inner.sig !== undefined) guarded.sig = inner.sig;
    env[name] = guarded;
  }
  return {
    lock: () => {
      locked = true;
    },
    ...guardLinker(env, refuse),
  };
}

/**
 * The linker's two functions. Besides what is loaded by `linking` there are no shared libraries: a null pointer, which
 * Python reports as ImportError. A library is found again by Python's side of the linker, without JavaScript; its functions
 * are looked up by its handle, and those of the interpreter itself (which has modules that are closed to scripts) are not.
 */
function guardLinker(
  env: Record<string, unknown>,
  refuse: (answer: number) => number,
): Pick<Guards, "linking" | "linked"> {
  const open = env._dlopen_js as WasmFunction;
  const find = env._dlsym_js as WasmFunction;
  const handles = new Set<unknown>();
  let isLinking = false;
  const guarded = {
    _dlopen_js: (handle: unknown) => {
      if (!isLinking) return refuse(0);
      const opened = open(handle);
      if (opened) handles.add(handle);
      return opened;
    },
    _dlsym_js: (handle: unknown, ...names: unknown[]) => (handles.has(handle) ? find(handle, ...names) : refuse(0)),
  };
  env._dlopen_js = Object.assign(guarded._dlopen_js, { sig: open.sig });
  env._dlsym_js = Object.assign(guarded._dlsym_js, { sig: find.sig });
  return {
    linking(link) {
      isLinking = true;
      try {
        link();
      } finally {
        isLinking = false;
      }
    },
    linked: (handle) => void handles.add(handle),
  };
}
