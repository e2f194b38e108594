# The worker image of Dataflow jobs, and a place to run the scripts: see docs/training_at_scale.md.
# Beam's version and Python's minor version must be those of the machine that submits the job.
FROM apache/beam_python3.11_sdk:2.72.0 AS beam

FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libsndfile1 && rm -rf /var/lib/apt/lists/*
WORKDIR /crossfade
COPY requirements.txt ./
RUN pip install --no-cache-dir --no-deps -r requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
COPY --from=beam /opt/apache/beam /opt/apache/beam
ENV OMP_NUM_THREADS=1
ENTRYPOINT ["/opt/apache/beam/boot"]
