/** A number, or numbers, and the SIP server that takes them. */
export interface CarrierRoute {
  number: string | RegExp;
  /** `sip:host:port`, optionally with `;transport=tcp`. */
  to: string;
}

/** The first route for a number; undefined when it is not in service. */
export function routeFor(
  routes: readonly CarrierRoute[],
  number: string,
): CarrierRoute | undefined {
  return routes.find((route) =>
    typeof route.number === "string" ? route.number === number : route.number.test(number),
  );
}

/** The server's URI with the number in it: `sip:+18005551234@127.0.0.1:5060`. */
export function numberAt(number: string, server: string): string {
  return server.replace(/^(sips?:)(?:[^@]*@)?/, `$1${number}@`);
}
