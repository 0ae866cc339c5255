/**
 * As much of WASI preview 1 as a command-line program that writes one file needs, in memory: no
 * file system, no environment, and a clock that stands still, so that equal arguments give equal
 * bytes. (`node:wasi` would work too, but it is experimental and says so on every start.)
 */
const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;
const STDOUT = 1;
const STDERR = 2;
/** The one directory the program finds open, and the one file it may create in it. */
const DIRECTORY = 3;
const OUTPUT_FILE = 4;
const DIRECTORY_NAME = "/o";
/** What a program is told to write to. */
export const OUTPUT_PATH = `${DIRECTORY_NAME}/a.wav`;
const LIMIT_OUTPUT_BYTES = 64 << 20;
const SEEK_CURRENT = 1;
const SEEK_END = 2;

export interface ProgramResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** What was written to {@link OUTPUT_PATH}. */
  file: Buffer;
}

class ProgramExit extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** A file that grows as it is written and may be rewritten from an earlier place. */
class MemoryFile {
  #bytes = Buffer.alloc(1 << 16);
  #length = 0;
  #position = 0;

  write(chunk: Uint8Array): void {
    const end = this.#position + chunk.length;
    if (end > LIMIT_OUTPUT_BYTES) throw new RangeError(`output over ${LIMIT_OUTPUT_BYTES} bytes`);
    if (end > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(end)]);
    }
    this.#bytes.set(chunk, this.#position);
    this.#position = end;
    this.#length = Math.max(this.#length, end);
  }

  seek(offset: number, whence: number): number {
    if (whence === SEEK_CURRENT) this.#position += offset;
    else this.#position = offset + (whence === SEEK_END ? this.#length : 0);
    return this.#position;
  }

  contents(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Runs a WASI command once, in a fresh instance, and returns what it wrote. */
export function runProgram(module: WebAssembly.Module, args: readonly string[]): ProgramResult {
  const files = new Map([STDOUT, STDERR, OUTPUT_FILE].map((fd) => [fd, new MemoryFile()]));
  let memory: WebAssembly.Memory | undefined;
  const view = () => {
    if (memory === undefined) throw new Error("the program called the system before it had memory");
    return memory.buffer;
  };
  const { exports } = new WebAssembly.Instance(module, {
    wasi_snapshot_preview1: { ...programImports(args, view), ...fileImports(files, view) },
  });
  if (!(exports.memory instanceof WebAssembly.Memory) || typeof exports._start !== "function") {
    throw new TypeError("not a WASI command: expected the exports memory and _start");
  }
  memory = exports.memory;
  const exitCode = exitCodeOf(exports._start as () => void);
  const contents = (fd: number) => Buffer.from(files.get(fd)?.contents() ?? []);
  return {
    exitCode,
    stdout: contents(STDOUT).toString(),
    stderr: contents(STDERR).toString(),
    file: contents(OUTPUT_FILE),
  };
}

function exitCodeOf(start: () => void): number {
  try {
    start();
    return 0;
  } catch (error) {
    if (error instanceof ProgramExit) return error.exitCode;
    throw error;
  }
}

function programImports(args: readonly string[], memory: () => ArrayBufferLike) {
  const strings = args.map((argument) => Buffer.from(`${argument}\0`));
  const lengthBytes = strings.reduce((sum, bytes) => sum + bytes.length, 0);
  return {
    args_sizes_get(countAt: number, lengthAt: number) {
      const view = new DataView(memory());
      view.setUint32(countAt, strings.length, true);
      view.setUint32(lengthAt, lengthBytes, true);
      return SUCCESS;
    },
    args_get(pointersAt: number, textAt: number) {
      const view = new DataView(memory());
      let offset = textAt;
      for (const [index, bytes] of strings.entries()) {
        view.setUint32(pointersAt + 4 * index, offset, true);
        new Uint8Array(memory()).set(bytes, offset);
        offset += bytes.length;
      }
      return SUCCESS;
    },
    clock_time_get(_clock: number, _precision: bigint, timeAt: number) {
      new DataView(memory()).setBigUint64(timeAt, 0n, true);
      return SUCCESS;
    },
    proc_exit(code: number) {
      throw new ProgramExit(code);
    },
  };
}

function fileImports(files: Map<number, MemoryFile>, memory: () => ArrayBufferLike) {
  const encodedName = Buffer.from(DIRECTORY_NAME);
  return {
    fd_prestat_get(fd: number, at: number) {
      if (fd !== DIRECTORY) return BAD_DESCRIPTOR;
      new DataView(memory()).setUint32(at, 0, true);
      new DataView(memory()).setUint32(at + 4, encodedName.length, true);
      return SUCCESS;
    },
    fd_prestat_dir_name(fd: number, at: number, lengthBytes: number) {
      if (fd !== DIRECTORY) return BAD_DESCRIPTOR;
      new Uint8Array(memory()).set(encodedName.subarray(0, lengthBytes), at);
      return SUCCESS;
    },
    fd_fdstat_get(fd: number, at: number) {
      const view = new DataView(memory());
      const [characterDevice, directory, regularFile] = [2, 3, 4];
      const type = fd < DIRECTORY ? characterDevice : fd === DIRECTORY ? directory : regularFile;
      view.setUint8(at, type ?? 0);
      view.setUint16(at + 2, 0, true);
      view.setBigUint64(at + 8, 0xffffffffffffffffn, true);
      view.setBigUint64(at + 16, 0xffffffffffffffffn, true);
      return SUCCESS;
    },
    fd_fdstat_set_flags: () => SUCCESS,
    path_open(...parameters: [...unknown[], number]) {
      new DataView(memory()).setUint32(parameters[8] as number, OUTPUT_FILE, true);
      return SUCCESS;
    },
    fd_close: () => SUCCESS,
    fd_read(_fd: number, _vectorsAt: number, _count: number, lengthAt: number) {
      new DataView(memory()).setUint32(lengthAt, 0, true);
      return SUCCESS;
    },
    fd_seek(fd: number, offset: bigint, whence: number, positionAt: number) {
      const file = files.get(fd);
      if (file === undefined) return BAD_DESCRIPTOR;
      const position = file.seek(Number(offset), whence);
      new DataView(memory()).setBigUint64(positionAt, BigInt(position), true);
      return SUCCESS;
    },
    fd_write(fd: number, vectorsAt: number, count: number, lengthAt: number) {
      const file = files.get(fd);
      if (file === undefined) return BAD_DESCRIPTOR;
      const view = new DataView(memory());
      let written = 0;
      for (let at = vectorsAt; at < vectorsAt + 8 * count; at += 8) {
        const length = view.getUint32(at + 4, true);
        file.write(new Uint8Array(memory(), view.getUint32(at, true), length));
        written += length;
      }
      view.setUint32(lengthAt, written, true);
      return SUCCESS;
    },
  };
}
