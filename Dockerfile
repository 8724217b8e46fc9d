# The image of `expertwire manifest`: docker build -t expertwire:0.1.0 .
# It has expertwire, its documents and the small model; larger ones come by a volume. It computes on processors; for GPUs see docs/backends.md.
FROM node:22-bookworm-slim AS build
WORKDIR /opt/expertwire
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-fund --no-audit --no-update-notifier
COPY . .
RUN node scripts/build.mjs bench && npm prune --omit=dev --omit=optional --ignore-scripts --no-fund --no-audit

FROM node:22-bookworm-slim
# As first process, tini passes signals on and reaps what processes of ranks leave behind.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/expertwire
COPY --from=build /opt/expertwire/package.json /opt/expertwire/LICENSE /opt/expertwire/README.md ./
COPY --from=build /opt/expertwire/node_modules node_modules
COPY --from=build /opt/expertwire/dist dist
COPY --from=build /opt/expertwire/configs configs
COPY --from=build /opt/expertwire/docs docs
COPY --from=build /opt/expertwire/examples examples
COPY --from=build /opt/expertwire/models models
COPY --from=build /opt/expertwire/scripts/peers scripts/peers
USER node
# Ranks join at the first, clients ask at the second.
EXPOSE 7077 8000
ENTRYPOINT ["tini", "--", "node", "--no-warnings", "/opt/expertwire/dist/lib/cli.js"]
CMD ["--help"]
