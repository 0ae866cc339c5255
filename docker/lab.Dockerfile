# The lab as a service: every party but the agent. `linecheck up` on fixed ports; no shell in it.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund --loglevel=error \
 && rm -rf node_modules/openai node_modules/@azure node_modules/@typespec node_modules/.cache \
           node_modules/microsoft-cognitiveservices-speech-sdk
COPY simulator simulator
COPY fixtures/customers.json fixtures/customers.json
COPY fixtures/audio fixtures/audio
COPY fixtures/dialogues fixtures/dialogues
RUN mkdir -p /image/etc/ssl/certs /image/usr/local/bin /image/tmp /image/out \
 && cp /usr/local/bin/node /image/usr/local/bin/ \
 && for library in $(ldd /usr/local/bin/node | grep -o '/[^ ]*'); do cp --parents -L "$library" /image/; done \
 && (cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ || true) \
 && printf 'lab:x:1000:1000::/app:/nonexistent\n' >/image/etc/passwd \
 && chmod 1777 /image/tmp && chown 1000:1000 /image/out

FROM scratch
COPY --from=build /image/ /
COPY --from=build /app /app
WORKDIR /app
USER 1000:1000
EXPOSE 8900 8901 8902 8903
VOLUME /out
# lab.json is there from READY on.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "process.exit(require('node:fs').existsSync('/out/lab.json') ? 0 : 1)"]
ENTRYPOINT ["node", "simulator/cli.ts"]
CMD ["up", "--port-base", "8900", "--out", "/out"]
