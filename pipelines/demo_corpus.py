"""A synthetic speech corpus: eSpeak NG synthesizes random sentences, offline, in milliseconds each.

eSpeak NG comes with the optional package `espeakng-loader` (the extra ``demo``) and is under the
GPL; only the demo imports it.
"""

from __future__ import annotations

import ctypes
import os
import random

import numpy as np
import soundfile

from models.errors import UserError

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: pass samples to the callback, return at the end
UTF8 = 1  # espeakCHARS_UTF8
SUBJECTS = (
    "the old captain,my younger sister,a quiet farmer,the night train,our first teacher,the tall engineer,"
    "a curious child,the green parrot,every good doctor,the last visitor,a busy painter,the village baker"
).split(",")
VERBS = (
    "carried,measured,remembered,opened,followed,painted,borrowed,discovered,repaired,watched,gathered,finished"
).split(",")
OBJECTS = (
    "a heavy wooden box,the broken clock,seven yellow flowers,a letter from home,the river map,two cups of tea,"
    "an empty bottle,the loudest engine,a basket of fish,the missing page,fresh white bread,the winter coat"
).split(",")
PLACES = (
    "near the harbour,before the storm,in the long garden,under the stone bridge,with great patience,after lunch,"
    "on the eastern road,at the edge of town,during the holidays,behind the museum,without a word,for the third time"
).split(",")


def sentences(count: int, seed: int) -> list[str]:
    """Return `count` different random sentences.

    >>> len(set(sentences(50, seed=1)))
    50
    """
    rng = random.Random(seed)  # noqa: S311
    unique: dict[str, None] = {}
    while len(unique) < count:
        parts = [rng.choice(words) for words in (SUBJECTS, VERBS, OBJECTS, PLACES)]
        unique[f"{' '.join(parts).capitalize()}."] = None
    return list(unique)


class SpeechSynthesizer:
    """Text-to-speech by eSpeak NG.

    Attributes:
      rate_hz: sample rate of its output.

    Raises:
      UserError: the package `espeakng-loader` is not installed.
    """

    def __init__(self):
        try:
            import espeakng_loader
        except ImportError:
            raise UserError("the demo needs eSpeak NG: pip install 'crossfade[demo]'") from None
        self.library = espeakng_loader.load_library()
        data = os.fsencode(espeakng_loader.get_data_path())
        self.rate_hz = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._collect)  # a reference, as the library holds only its address
        self.library.espeak_SetSynthCallback(self.callback)
        self.chunks: list[np.ndarray] = []

    def _collect(self, samples, count: int, _events) -> int:
        if count and samples:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def synthesize(self, text: str, voice: str) -> np.ndarray:
        """Return the speech of a sentence, int16 `[samples]` at `rate_hz`.

        Args:
          text: the sentence.
          voice: name of an eSpeak NG voice, such as "en-us+m3".

        Raises:
          UserError: there is no such voice.
        """
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise UserError(f"eSpeak NG has no voice {voice}")
        self.chunks = []
        encoded = text.encode()
        self.library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.chunks)

    def synthesize_folder(self, folder: str, texts: list[str], voice: str) -> None:
        """Write one WAV file for each sentence, named by its number."""
        os.makedirs(folder, exist_ok=True)
        for number, text in enumerate(texts):
            path = os.path.join(folder, f"sentence_{number:03d}.wav")
            soundfile.write(path, self.synthesize(text, voice), self.rate_hz, subtype="PCM_16")
