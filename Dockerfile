FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
COPY examples examples
RUN npm run build && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/.cache

FROM node:24-slim
# SIGUSR1 must not open Node's debugger, at no moment.
ENV NODE_ENV=production \
    REGEARS_APPENDONLY=yes \
    NODE_OPTIONS=--disable-sigusr1 \
    REGEARS_BIND=0.0.0.0 \
    REGEARS_CACHE_DIR=/app/cache \
    REGEARS_DIR=/data \
    REGEARS_PROTECTED_MODE=no
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json README.md CHANGELOG.md LICENSE ./
COPY bin bin
COPY docker docker
# The prepared Python image belongs to this Node and this code: it is made here, not at every start.
RUN node bin/regears.js --snapshot \
 && chmod -R a+rX cache \
 && ln -s /app/bin/regears.js /usr/local/bin/regears \
 && ln -s /app/docker/redis-cli.mjs /usr/local/bin/redis-cli \
 && ln -s /app/docker/redis-server /usr/local/bin/redis-server \
 && ln -s /app/docker/redis-cli.mjs /usr/local/bin/valkey-cli \
 && ln -s /app/docker/redis-server /usr/local/bin/valkey-server \
 && mkdir /data && chown node:node /data
USER node
WORKDIR /data
VOLUME /data
EXPOSE 6379
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["redis-cli", "ping"]
ENTRYPOINT ["/app/docker/entrypoint.sh"]
CMD ["regears"]
