// Completes package-lock.json where the registry in use lacks a package's binaries for some other
// platform: npm drops such optional packages from the lockfile, and then `npm ci` refuses it. The
// entries written here carry what npm needs to skip them (os, cpu, libc) and no integrity; an
// `npm install` against a complete registry replaces them by full ones.
import { readFileSync, writeFileSync } from "node:fs";

const OS = [
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
  "aix",
];
const CPU = [
  "arm64",
  "arm",
  "x64",
  "ia32",
  "riscv64",
  "s390x",
  "ppc64",
  "loong64",
  "mips64el",
  "wasm32",
];

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const added = [];
for (const [path, entry] of Object.entries({ ...lock.packages })) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!/^\d/.test(version) || isLocked(path, name)) continue;
    lock.packages[`node_modules/${name}`] = skipped(name, version, entry.dev);
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? "the lockfile is complete" : `added ${added.join(", ")}`);

/** Is there an entry that `path` would find by Node's rules? */
function isLocked(path, name) {
  const places = path
    .split("/node_modules/")
    .map((_, depth, parts) => parts.slice(0, depth + 1).join("/node_modules/"));
  return [`node_modules/${name}`, ...places.map((place) => `${place}/node_modules/${name}`)].some(
    (place) => place in lock.packages,
  );
}

function skipped(name, version, dev) {
  const words = name.split(/[/-]/);
  const os = OS.find((word) => words.includes(word));
  const cpu = CPU.find((word) =>
    words.some((part) => part === word || (word === "arm" && part === "arm")),
  );
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : undefined;
  return {
    version,
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(dev ? { dev } : {}),
    ...(os === "linux" && libc !== undefined ? { libc: [libc] } : {}),
    optional: true,
    ...(os === undefined ? {} : { os: [os] }),
  };
}
