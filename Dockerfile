# One image for server, worker and one-shot commands: `python -m scripts <command>`.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/satchel
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY app app
COPY models models
COPY indexes indexes
COPY scripts scripts
# Only what it depends on stays: the source itself is run from its folder.
RUN /opt/satchel/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && /opt/satchel/bin/pip uninstall --yes satchel

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home satchel && install -d -m 700 -o satchel /ledger
WORKDIR /srv/satchel
COPY --from=build /opt/satchel /opt/satchel
# The source as it is in the repository: templates and static files stand beside the modules.
COPY app app
COPY models models
COPY indexes indexes
COPY scripts scripts
ENV PATH=/opt/satchel/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SATCHEL_ENVIRONMENT=production \
    SATCHEL_HOST=0.0.0.0 \
    SATCHEL_PORT=8000 \
    SATCHEL_DATA_DIR=/tmp/satchel
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["python", "-m", "scripts", "serve"]
