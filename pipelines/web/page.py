"""The page, in Gradio: choices, one file, several files."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.web import answer_html
from pipelines.web.converter import NOUNS, Choice, Converter
from pipelines.web.limits import Limits

DESCRIPTION = {
    "audio": "Convert recordings of a voice. **Convert a voice only with the permission of the speaker.**",
    "image": "Convert pictures.",
}


def build_page(converter: Converter, inverter: str):
    """Build the page.

    Args:
      converter: answers the page.
      inverter: the one that is selected at first.

    Returns:
      The `gradio.Blocks`.
    """
    import gradio as gr

    run = converter.translators
    name = run.run_dir.rstrip("/").rpartition("/")[2]
    page = gr.Blocks(title=f"Crossfade: {name}", analytics_enabled=False)
    with page:
        gr.Markdown(f"# Crossfade: {name}\n\n{DESCRIPTION[run.kind]} {_deletion(converter)}")
        choices = _build_choices(gr, converter, inverter)
        with gr.Tab(f"One {NOUNS[run.kind]}"):
            _build_single(gr, converter, choices)
        with gr.Tab("Several files"):
            _build_batch(gr, converter, choices)
    page.queue(default_concurrency_limit=1)
    return page


def _deletion(converter: Converter) -> str:
    if converter.keep_dir:
        return f"Sources and results are kept in `{converter.keep_dir}`."
    return "Files are deleted from the server after each conversion."


def _label(inverter: str) -> str:
    """Return the name of an inverter on the page: that of a vocoder without the folders of its run."""
    kind, separator, run_dir = inverter.partition(":")
    return kind + separator + run_dir.rstrip("/").rpartition("/")[2]


def _build_choices(gr, converter: Converter, inverter: str) -> list:
    """Add the choice of target, source and inverter; those without an alternative are hidden."""
    run = converter.translators
    targets = run.targets()
    with gr.Row():
        target = gr.Radio(targets, min_width=240, value=targets[0], label="Target")
        sources = run.sources(targets[0])
        source = gr.Radio(
            sources,
            value=sources[0],
            min_width=240,
            label="Source",
            visible=any(len(run.sources(name)) > 1 for name in targets),
        )
        inverters = gr.Radio(
            [(_label(name), name) for name in run.inverters],
            value=inverter if run.inverters else None,
            label="Inverter",
            min_width=240,
            visible=bool(run.inverters),
        )

    def update_sources(target: str, source: str):
        sources = run.sources(target)
        return gr.Radio(sources, value=source if source in sources else sources[0])

    target.change(update_sources, [target, source], source, show_progress="hidden", api_visibility="private")
    return [target, source, inverters]


def _build_single(gr, converter: Converter, choices: list) -> None:
    noun = NOUNS[converter.translators.kind]
    inputs = [gr.File(label=f"Drop a {noun} here, or choose a file")]
    if converter.translators.kind == "audio":
        recorded = gr.Audio(sources=["microphone"], type="filepath", label="Or record one", buttons=[])
        recorded.stop_recording(None, None, inputs[0], js="() => null", api_visibility="private")
        inputs[0].upload(None, None, recorded, js="() => null", api_visibility="private")
        inputs.append(recorded)

    def convert(*values):
        *files, target, source, inverter = values
        file = next((file for file in files if file), None)
        answer = converter.convert_one(file, Choice(target, source, inverter))
        return answer.message, answer.content

    _build_button(gr, convert, [*inputs, *choices], "one")


def _build_batch(gr, converter: Converter, choices: list) -> None:
    files = gr.File(label="Drop files or archives (zip, tar) here, or choose files", file_count="multiple")
    folder = gr.File(label="Or choose a folder", file_count="directory", height=140)
    progress = gr.Progress()

    def convert(files, folder, target, source, inverter, progress=progress):
        choice, uploads = Choice(target, source, inverter), [*(files or ()), *(folder or ())]
        answer = converter.convert_batch(uploads, choice, lambda *counts: progress(counts, unit="files"))
        return answer.message, answer.content

    _build_button(gr, convert, [files, folder, *choices], "batch")


def _build_button(gr, convert: Callable, inputs: list, uploads: str) -> None:
    """Add the button that starts a conversion, and the places of its answer.

    Args:
      gr: the module `gradio`.
      convert: function from the values of `inputs` to a message and a content.
      inputs: components.
      uploads: name in `page.js` of the uploads among the inputs.
    """
    gr.HTML('<p class="message error refusal" role="alert"></p>')
    button = gr.Button("Convert", variant="primary")
    outputs = [gr.HTML(), gr.HTML()]
    done = button.click(
        convert,
        inputs,
        outputs,
        js=f"(...inputs) => crossfade.{uploads}.prepare(...inputs)",
        preprocess=False,
        concurrency_id="conversion",
        api_visibility="private",
    )
    done.then(None, None, None, js="() => { crossfade.fetchResults() }", api_visibility="private")


def head(limits: Limits) -> str:
    """Return the script of the page as an element of its head."""
    return f"<script>const maxMegabytes = {limits.max_megabytes:g};\n{answer_html.read_resource('page.js')}</script>"
