"""Words that are not to come back: private terms for what the field has a standard term for."""

import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FORMER_NAMES = {"models/version_0_1.py", "pipelines/training/version_0_1.py"}  # they translate names of version 0.1
CODE = [
    path
    for top in ("models", "plugins", "pipelines")
    for path in sorted((ROOT / top).rglob("*.py"))
    if str(path.relative_to(ROOT)) not in FORMER_NAMES
]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
STANDARD_TERMS = {  # part of an identifier that is gone: the term to use
    "adversary": "discriminator",
    "apart": "difference, distance",
    "asked": "requested, config, options",
    "calm": "good_steps",
    "chosen": "selected",
    "critics": "n_critic, discriminators",
    "drawn": "sampled, samples, draws",
    "effort": "residual_weight",
    "every": "update_interval, all",
    "everyone": "global_batch",
    "findings": "JobResult",
    "forget": "reset",
    "found": "what was found: paths, rows, matches",
    "given": "what was given: values, options",
    "halvings": "num_downsamples",
    "heard": "target_rate, predictions",
    "judge": "discriminator, domain_classifier",
    "judged": "logits",
    "keeper": "Checkpointer",
    "kept": "what is kept: rows, columns",
    "lacking": "padding_to_multiple, missing",
    "made": "what was made: model, records, outputs",
    "minimise": "minimize, as Keras spells it",
    "moved": "shifted, converted, updated",
    "mover": "optimizer",
    "player": "Optimizer",
    "players": "optimizers",
    "plotted": "plot_log_mels",
    "said": "frames, message",
    "salt": "stream",
    "seen": "inputs, listed",
    "sounding": "sources_with_sound, active",
    "spoken": "format_metrics, synthesized",
    "strange": "ood",
    "strangers": "ood_examples",
    "tabled": "format_table",
    "tally": "JobCounters",
    "told": "film, conditioned",
    "turn": "update_mode",
    "turns": "update_modes",
    "unlike": "ood, scrambled",
    "wanted": "expected, required",
    "way": "direction",
    "ways": "directions",
}
WRITTEN_NAMES = {  # identifiers that stand in files of earlier versions and keep their names
    "kept",  # a variable of exported SavedModels
}
PHRASES = (  # of docstrings, comments, help, messages and documents
    r"by heart",
    r"costs? nothing",
    r"goes? on with",
    r"gone on",
    r"heard as",
    r"hand(?:s|ed)? out",
    r"hears?",
    r"in silence,",
    r"is at work",
    r"makes? of it",
    r"all players",
    r"both players",
    r"judges? (?:patches|that|which|samples|stretches)",
    r"players? (?:that|minimise|begin|whose)",
    r"no riddle",
    r"speaks? for itself",
    r"strangers?",
    r"takes? for (?:reals|the target)",
    r"that of those",
    r"those that hear",
    r"twins?",
    r"told (?:both|where|which|to)",
    r"what (?:it|they) (?:hears?|says?|sees?|makes?)",
)
PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)

each_file = pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))


def _tokens(path):
    return tokenize.generate_tokens(io.StringIO(path.read_text()).readline)


def _parts(identifier):
    """The words of an identifier in snake or camel case; "held_out" is one word.

    >>> _parts("heldOutRows"), _parts("MAX_held_out_files")
    (['held', 'out', 'rows'], ['max', 'held_out', 'files'])
    """
    words = re.findall(r"held_out|[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])", identifier)
    return [word.lower() for word in words]


@each_file
def test_identifiers_use_the_fields_terms(path):
    for token in _tokens(path):
        if token.type == tokenize.NAME and token.string not in WRITTEN_NAMES and not token.string.endswith("Error"):
            gone = [word for word in _parts(token.string) if word in STANDARD_TERMS]
            place = f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
            assert not gone, f"{place}; the term is: {STANDARD_TERMS[gone[0]]}"


@each_file
def test_prose_in_code_has_no_private_phrases(path):
    for token in _tokens(path):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            match = PHRASE.search(" ".join(token.string.split()))
            assert not match, f"{path.relative_to(ROOT)}:{token.start[0]}: {match[0]!r} in {token.string[:200]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_documents_have_no_private_phrases(path):
    text = " ".join(path.read_text().split())
    match = PHRASE.search(text)
    assert not match, f"{path.relative_to(ROOT)}: ...{text[max(0, match.start() - 80) : match.end() + 40]}..."


@pytest.mark.parametrize("identifier", ["players", "when_told", "FindingsTable", "moved_frames", "judge"])
def test_a_word_that_is_gone_is_recognised(identifier):
    assert set(_parts(identifier)) & STANDARD_TERMS.keys()


@pytest.mark.parametrize("text", ["One step of both players.", "What costs nothing", "the judge hears it"])
def test_a_phrase_that_is_gone_is_recognised(text):
    assert PHRASE.search(text)
