# The model server, and nothing of the training side. Build it at the root of a checkout:
#     docker build -t modelway-runtime .
# Run it with a bundle and the public half of the key that signed it:
#     docker run -p 8080:8080 -v "$BUNDLE:/mnt/models:ro" -v "$KEYS/verify.pem:/etc/modelway/verify.pem:ro" modelway-runtime

FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY modelway modelway
COPY usecases usecases
COPY steps steps
COPY flows flows
COPY stacks stacks
COPY serving serving
COPY loadtests loadtests
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python -m venv /opt/modelway \
    && /opt/modelway/bin/pip install --no-cache-dir "$(ls /wheels/modelway-*.whl)[serving]"

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin modelway
COPY --from=build /opt/modelway /opt/modelway
ENV PATH="/opt/modelway/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
USER 10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "serving.runtime"]
# A container listens for others; outside of one the server keeps to loopback unless told otherwise.
CMD ["--bundle", "/mnt/models", "--verify-key", "/etc/modelway/verify.pem", "--revision", "default", \
     "--host", "0.0.0.0", "--port", "8080"]
