import { resolve } from "node:path";
import { systemClock } from "../clock.ts";
import { issueCertificates, writeCertificates } from "../lab/certificates.ts";
import { readArguments, UsageError } from "./usage.ts";

/** `linecheck certificates FOLDER`: a lab's certificates, for daemons that run before the lab. */
export async function certificates(args: string[]): Promise<number> {
  const { positionals } = readArguments({ args, allowPositionals: true });
  const [folder] = positionals;
  if (folder === undefined) throw new UsageError("certificates: expected a folder");
  writeCertificates(resolve(folder), await issueCertificates(systemClock(), "good"));
  process.stdout.write(`LINECHECK_CERTIFICATES=${resolve(folder)}\n`);
  return 0;
}
