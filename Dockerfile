# The server's image. Build it from the repository's root: docker build -t standpipe-server .
# The first stage builds wheels from the checkout, the second installs them and nothing else; both install third-party
# packages only by the hashes in requirements/.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements/build.txt requirements/pages.txt requirements/image.txt requirements/
RUN python -m venv /build/tools \
 && /build/tools/bin/python -m pip install --no-deps --require-hashes -r requirements/build.txt -r requirements/pages.txt
RUN python -m venv /opt/standpipe \
 && /opt/standpipe/bin/python -m pip install --no-deps --require-hashes -r requirements/image.txt
COPY client_sdk client_sdk
COPY server server
COPY migrations migrations
RUN /build/tools/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels ./client_sdk ./server \
 && /opt/standpipe/bin/python -m pip install --no-deps --no-index wheels/*.whl \
 && /opt/standpipe/bin/python -m pip check \
 && /opt/standpipe/bin/python -m pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/standpipe --shell /usr/sbin/nologin standpipe \
 && install --directory --owner=standpipe --group=standpipe --mode=0700 /var/lib/standpipe
COPY --from=build /opt/standpipe /opt/standpipe
COPY server/docker-entrypoint /usr/local/bin/docker-entrypoint
ENV PATH=/opt/standpipe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STANDPIPE_HOME=/var/lib/standpipe \
    STANDPIPE_HOST=0.0.0.0 \
    STANDPIPE_PORT=8787
USER standpipe
VOLUME /var/lib/standpipe
EXPOSE 8787
# The server ends its streams and drains its writer before it goes; see STANDPIPE_* in docs/reference.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; port = os.environ['STANDPIPE_PORT'].strip(); urllib.request.urlopen(f\"http://127.0.0.1:{port if port.isdigit() else 8787}/healthz\", timeout=4)"]
ENTRYPOINT ["docker-entrypoint"]
CMD ["serve"]
