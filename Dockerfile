# One file, one target per service: `docker build --target gateway|retrieval|ingest .`; docker-compose.yml builds all.
#
# Layers go from heavy and stable to light and changing: torch, then the index libraries (both shared by retrieval and
# ingest; the gateway has neither), then a service's own packages, then its code. What only installs (uv, the lists,
# the caches) is mounted while a layer is made and is in no image. scripts/install says which build of torch it takes.
# There is no `# syntax=` line on purpose: it would fetch a front end, and the engine's own does all that is used here.

FROM python:3.11-slim-bookworm AS installer
COPY requirements/uv.txt /build/requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --disable-pip-version-check --root-user-action=ignore --require-hashes \
      --target /build/uv -r /build/requirements/uv.txt
COPY requirements/torch.txt /build/requirements/
COPY scripts/install scripts/uv.sh /build/scripts/

# What all services share: a user without rights, the folder for data, the virtual environment first on PATH.
# The uid is fixed: volumes and Kubernetes' runAsUser must name the same one in every image.
FROM python:3.11-slim-bookworm AS base
LABEL org.opencontainers.image.description="Answers questions about your PDFs, streamed, with page-exact sources." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Pagewire maintainers"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 HOME=/tmp \
    PAGEWIRE_HOST=0.0.0.0 PAGEWIRE_DATA_DIR=/data
RUN groupadd --gid 10001 pagewire \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pagewire \
 && install -d -o 10001 -g 10001 /data
WORKDIR /app
# For the installer only; an ARG is in no image. Copies, as its cache is another file system. Compiles, as the
# containers are read-only: what is not compiled here would be compiled anew at every start.
ARG UV=/build/uv/bin/uv UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
ARG PAGEWIRE_TORCH=auto

FROM base AS torch
RUN --mount=type=bind,from=installer,source=/build,target=/build \
    --mount=type=cache,target=/root/.cache/uv \
    /build/scripts/install /opt/venv torch

FROM torch AS index
RUN --mount=type=bind,from=installer,source=/build,target=/build,rw \
    --mount=type=bind,source=requirements/index.txt,target=/build/requirements/index.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /build/scripts/install /opt/venv index

# What the project says of itself (its version, for one), without its code: services read it at run time.
FROM base AS metadata
COPY pyproject.toml README.md LICENSE requirements/dev.txt /src/
RUN --mount=type=bind,from=installer,source=/build,target=/build \
    --mount=type=cache,target=/root/.cache/uv \
    $UV pip install --python python3 --target /metadata --no-deps --build-constraint /src/dev.txt /src \
 && rm -rf /metadata/bin

FROM base AS gateway
LABEL org.opencontainers.image.title="pagewire-gateway"
RUN --mount=type=bind,from=installer,source=/build,target=/build,rw \
    --mount=type=bind,source=requirements/gateway.txt,target=/build/requirements/gateway.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /build/scripts/install /opt/venv gateway
COPY --from=metadata /metadata .
COPY shared shared
COPY services/__init__.py services/
COPY services/gateway services/gateway
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "services.gateway.main"]

FROM index AS retrieval
LABEL org.opencontainers.image.title="pagewire-retrieval"
RUN --mount=type=bind,from=installer,source=/build,target=/build,rw \
    --mount=type=bind,source=requirements/retrieval.txt,target=/build/requirements/retrieval.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /build/scripts/install /opt/venv retrieval
COPY --from=metadata /metadata .
COPY shared shared
COPY services/__init__.py services/
COPY services/retrieval services/retrieval
USER 10001:10001
EXPOSE 8001
CMD ["python", "-m", "services.retrieval.main"]

FROM index AS ingest
LABEL org.opencontainers.image.title="pagewire-ingest"
RUN --mount=type=bind,from=installer,source=/build,target=/build,rw \
    --mount=type=bind,source=requirements/ingest.txt,target=/build/requirements/ingest.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /build/scripts/install /opt/venv ingest
COPY --from=metadata /metadata .
COPY shared shared
COPY services/__init__.py services/
COPY services/ingest services/ingest
USER 10001:10001
CMD ["python", "-m", "services.ingest.worker"]
