"""Recordings in the containers of FFmpeg, which PyAV writes."""

import fractions
import io

import av
import numpy as np

FORMATS = {  # extension: container, encoder, sample rate
    ".m4a": ("ipod", "aac", 16000),
    ".mp4": ("mp4", "aac", 16000),
    ".mov": ("mov", "pcm_s16le", 16000),
    ".aac": ("adts", "aac", 16000),
    ".webm": ("webm", "libopus", 48000),
    ".mka": ("matroska", "flac", 16000),
    ".wma": ("asf", "wmav2", 44100),
    ".amr": ("amr", "libopencore_amrnb", 8000),
    ".3gp": ("3gp", "libopencore_amrnb", 8000),
    ".wv": ("wv", "wavpack", 16000),
    ".tta": ("tta", "tta", 16000),
    ".caf": ("caf", "alac", 16000),
}


def tone(rate_hz, seconds=2.0, hz=300.0):
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.float32(0.3 * np.sin(2 * np.pi * hz * t) + 0.01 * np.random.default_rng(0).normal(size=len(t)))


def encode(suffix, y=None, *, layout="mono", streams=1, picture=False, rate_hz=0, **options):
    """The bytes of a file of one or several audio streams: the first of `y`, the others of silence."""
    container, codec, usual_hz = FORMATS[suffix]
    rate_hz = rate_hz or usual_hz
    y = tone(rate_hz) if y is None else np.float32(y)
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        videos = [output.add_stream("mpeg4", rate=1, width=32, height=32, pix_fmt="yuv420p") for _ in range(picture)]
        encoders = [output.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(streams)]
        for video in videos:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = 0, fractions.Fraction(1)
            output.mux([*video.encode(frame), *video.encode(None)])
        for n, encoder in enumerate(encoders):
            if codec == "wmav2":  # its default bit rate is too high
                encoder.bit_rate = 64000
            output.mux(list(_packets(encoder, y if n == 0 else np.zeros_like(y), rate_hz, layout)))
    return file.getvalue()


def _packets(encoder, y, rate_hz, layout):
    channels = 1 if layout == "mono" else 2
    frame = av.AudioFrame.from_ndarray(np.tile(y, (channels, 1)), format="fltp", layout=layout)
    frame.sample_rate, frame.pts = rate_hz, 0
    size = encoder.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=encoder.codec_context.format, layout=layout, rate=rate_hz, frame_size=size)
    for part in resampler.resample(frame) + resampler.resample(None):
        yield from encoder.encode(part)
    yield from encoder.encode(None)
