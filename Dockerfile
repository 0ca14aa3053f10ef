# The page on a CPU, with the runs that are mounted at /runs:
#
#     docker build -t res2net-tasks .
#     docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#         -p 127.0.0.1:7860:7860 -v "$PWD/runs:/runs:ro" res2net-tasks /runs/salient /runs/segmentation
FROM python:3.12-slim

RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libxcb1 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY app app
COPY backbone backbone
COPY common common
COPY tasks tasks
# --build-arg PIP_OPTIONS="..." adds words of pip, such as those of PyTorch's own page that take its wheels for CPUs, a tenth as large.
ARG PIP_OPTIONS=""
RUN pip install --no-cache-dir --constraint requirements.lock ${PIP_OPTIONS} ".[app,audio]"

# Nothing is written but below /tmp: uploads, which the server deletes, and caches.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 RES2NET_CACHE=/tmp/cache MPLCONFIGDIR=/tmp
WORKDIR /tmp
USER 65534:65534
EXPOSE 7860
# All interfaces of the container; -p decides who reaches it.
ENTRYPOINT ["python", "-m", "app", "--host", "0.0.0.0"]
