import { request } from "node:http";

/** Opcode of a WebSocket's close frame (RFC 6455 §5.5.1). */
const CLOSE = 0x8;

/**
 * Asks for a WebSocket as anybody could. Resolves with the status of the refusal, or with the close
 * code by which a socket that was let in was thrown out again.
 */
export function knock(url: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const knocking = request(url.replace(/^ws/, "http"), {
    headers: {
      ...headers,
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "bm90IGEgc2VjcmV0ISEhIQ==",
    },
  });
  knocking.on("error", reject);
  knocking.on("response", (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  knocking.on("upgrade", (_response, socket, head) => {
    const read = (frame: Buffer) => {
      if (frame.length < 4) return;
      const [first = 0] = frame;
      socket.destroy();
      if ((first & 0xf) === CLOSE) resolve(frame.readUInt16BE(2));
      else reject(new Error(`let in: the first frame has opcode ${first & 0xf}`));
    };
    socket.on("data", read);
    socket.on("error", reject);
    read(head);
  });
  knocking.end();
  return promise;
}
