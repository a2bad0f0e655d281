# One image for pages, workers and commands. Nothing secret is in it, nothing is written in it but
# the data volume; it runs as an ordinary user and on a read-only file system.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/dibao
COPY requirements-run.lock .
RUN /opt/dibao/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-run.lock
COPY . .
RUN /opt/dibao/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/dibao --create-home dibao \
 && install -d -o dibao -g dibao -m 700 /var/lib/dibao /var/lib/dibao-secrets
COPY --from=build /opt/dibao /opt/dibao
ENV PATH=/opt/dibao/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DIBAO_DATA_DIR=/var/lib/dibao \
    DIBAO_WEB_HOST=0.0.0.0 \
    DIBAO_LOG_FORMAT=json
USER dibao
WORKDIR /var/lib/dibao
VOLUME /var/lib/dibao
EXPOSE 8000
# letters on the wire are finished before it ends: give it 45 seconds
STOPSIGNAL SIGTERM
CMD ["dibao", "web"]
