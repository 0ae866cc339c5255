# The voice agent: Node, its production packages and agent/, nothing else. No shell in it.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund --loglevel=error \
 && rm -rf node_modules/@echogarden node_modules/sip.js node_modules/drachtio-srf node_modules/wavefile \
           node_modules/openai/src node_modules/.cache
COPY agent agent
# Node and the libraries that it loads, for a final stage that has nothing but them.
RUN mkdir -p /image/etc/ssl/certs /image/usr/local/bin /image/tmp /image/data \
 && cp /usr/local/bin/node /image/usr/local/bin/ \
 && for library in $(ldd /usr/local/bin/node | grep -o '/[^ ]*'); do cp --parents -L "$library" /image/; done \
 && (cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ || true) \
 && printf 'agent:x:1000:1000::/app:/nonexistent\n' >/image/etc/passwd \
 && chmod 1777 /image/tmp && chown 1000:1000 /image/data

FROM scratch
COPY --from=build /image/ /
COPY --from=build /app /app
WORKDIR /app
USER 1000:1000
ENV NODE_ENV=production AGENT_HOST=0.0.0.0 AGENT_PORT=8080 AGENT_DATABASE=/data/agent.sqlite
EXPOSE 8080
VOLUME /data
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.AGENT_PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "agent/main.ts"]
