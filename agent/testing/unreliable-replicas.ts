import { memoryReplicas, type Replicas } from "../replicas.ts";

/** A directory and an inbox that fail while the test says so. */
export function unreliableReplicas(now: () => number): {
  readonly state: { failing: boolean };
  readonly replicas: Replicas;
} {
  const { directory, inbox } = memoryReplicas({ now });
  const state = { failing: false };
  const failing = <Part extends object>(part: Part): Part =>
    new Proxy(part, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]) => {
          if (state.failing) throw new Error("the directory is away");
          return Reflect.apply(method, target, args);
        };
      },
    });
  const replicas = { directory: failing(directory), inbox: failing(inbox), check: async () => {} };
  return { state, replicas };
}
