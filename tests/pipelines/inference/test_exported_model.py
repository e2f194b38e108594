"""The exported model: signatures, and exports that are incomplete."""

import shutil
import textwrap

import pytest

from pipelines.inference import exported_model


@pytest.mark.parametrize("left", [0, 1, 0.5, None], ids=str)
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "variables/variables.data*"])
def test_an_export_that_is_cut_off_is_named_in_one_line(speech_run, tmp_path, name, left):
    shutil.copytree(f"{speech_run}/export", tmp_path / "export", ignore=shutil.ignore_patterns("encoded_audio"))
    (tmp_path / "config.json").write_text("{}")
    (path,) = (tmp_path / "export").glob(name)
    content = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(left * len(content)) if left < 1 else 1])
    with pytest.raises(ValueError, match="corrupt or incomplete|has no export/saved_model.pb") as caught:
        exported_model.Model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_operations_get_one_thread_unless_tensorflow_has_started(in_new_process):
    in_new_process(
        textwrap.dedent("""
        import tensorflow as tf
        from pipelines.inference import exported_model
        exported_model.use_one_thread_per_operation()
        assert tf.config.threading.get_intra_op_parallelism_threads() == 1
        tf.zeros([])
        tf.config.threading.get_intra_op_parallelism_threads()
        exported_model.use_one_thread_per_operation()
    """)
    )
