# One small image with the four programs: api, relay, projector, outboxctl.
#
#   docker build -t social-commerce-outbox .
#   docker run social-commerce-outbox relay --help
#
# The first build compiles all dependencies (about eight minutes on two idle cores); they are a
# layer of their own, so after a change of our sources alone only our crates are compiled.

ARG RUST_VERSION=1.95
ARG DEBIAN=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
# For librdkafka, which is built from its crate.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Symbols for backtraces stay, line tables go: a third of the size.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_INCREMENTAL=0
ARG PROGRAMS="--bin api --bin relay --bin projector --bin outboxctl"

# Dependencies: our crates as empty shells, so that this layer changes with Cargo.lock alone.
COPY Cargo.toml Cargo.lock ./
COPY shared/Cargo.toml shared/
COPY api/Cargo.toml api/
COPY relay/Cargo.toml relay/
COPY projector/Cargo.toml projector/
COPY ctl/Cargo.toml ctl/
COPY e2e/Cargo.toml e2e/
RUN for crate in shared api relay projector ctl e2e; do \
      mkdir $crate/src && touch $crate/src/lib.rs && echo 'fn main() {}' >$crate/src/main.rs || exit; \
    done \
 && cargo build --locked --release --workspace $PROGRAMS \
 && cargo clean --release -p shared -p api -p relay -p projector -p ctl -p e2e \
 && rm -rf ./*/src

COPY . .
RUN cargo build --locked --release --workspace $PROGRAMS \
 && mkdir /programs \
 && cp target/release/api target/release/relay target/release/projector target/release/outboxctl /programs/

FROM debian:${DEBIAN}-slim
# OpenSSL for TLS and SASL to Kafka, and the public authorities.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libssl3t64 zlib1g ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /programs/ /usr/local/bin/
# Nobody in particular, by number: Kubernetes can tell that it is not root. Nothing is
# written to disk, so the root file system may be read-only.
USER 10001:10001
# api, relay and projector catch SIGTERM themselves, finish what they have begun and exit 0;
# they start no children, so as process 1 they need no init beside them.
STOPSIGNAL SIGTERM
# Every program answers /ready; PROBE_URL says where.
ENV PROBE_URL=http://127.0.0.1:8000/ready
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
  CMD ["outboxctl", "probe"]
EXPOSE 8000 9101 9102
CMD ["api"]
