"""Resuming a run: the same run continues, another run and other people's folders are refused."""

import dataclasses

import pytest
from testbed import train

from pipelines import config, run_directory
from pipelines.training import resume


def test_only_the_same_run_resumes(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(0)
    longer = run_directory.Run(**{**config.to_json(made.run), "config": {**made.run.config, "steps": 9}})
    assert resume.resolve_resume(str(tmp_path), longer) == longer
    other = run_directory.Run(**{**config.to_json(made.run), "config": {**made.run.config, "latent": 5}})
    with pytest.raises(ValueError, match=r"another run \(config.latent: 32 -> 5\)"):
        resume.resolve_resume(str(tmp_path), other)


def test_the_refusal_of_another_run_names_the_main_difference(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(0)
    other = dataclasses.replace(made.run, plugin="vae", config={})
    with pytest.raises(ValueError, match=r"holds another run \(plugin: ae -> vae\); take another"):
        resume.resolve_resume(str(tmp_path), other)


@pytest.mark.parametrize("name", ["export", "next_export", "checkpoints", "best"])
def test_folders_without_a_config_are_not_a_run(speech_records, tmp_path, name):
    made = train(str(tmp_path / "other"), speech_records, "ae")
    place = tmp_path / "mine" / name
    place.mkdir(parents=True)
    assert resume.resolve_resume(str(tmp_path / "mine"), made.run) == made.run  # an empty one is nobody's
    (place / "photo.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"mine has a folder {name} but no config.json of a run; take another"):
        resume.resolve_resume(str(tmp_path / "mine"), made.run)


def test_a_run_with_the_old_name_of_a_key_is_resumed(speech_records, tmp_path, monkeypatch):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(0)
    monkeypatch.setattr(type(made.plugin.config), "RENAMED", {"code_size": "latent"}, raising=False)
    keys = {"code_size" if key == "latent" else key: value for key, value in made.run.config.items()}
    run_directory.write_run(str(tmp_path), dataclasses.replace(made.run, config=keys))
    assert resume.resolve_resume(str(tmp_path), made.run) == made.run
    other = dataclasses.replace(made.run, config={**made.run.config, "latent": 5})
    with pytest.raises(ValueError, match=r"another run \(config.latent: 32 -> 5\)"):
        resume.resolve_resume(str(tmp_path), other)


def test_a_run_without_a_key_that_was_added_since_has_its_default(speech_records, tmp_path):
    made = train(str(tmp_path), speech_records, "ae")
    made.checkpoints.latest.save(0)
    keys = {key: value for key, value in made.run.config.items() if key != "latent"}
    run_directory.write_run(str(tmp_path), dataclasses.replace(made.run, config=keys))
    default = type(made.plugin.config)().latent
    values = default, default + 1
    same, other = (dataclasses.replace(made.run, config={**made.run.config, "latent": value}) for value in values)
    assert resume.resolve_resume(str(tmp_path), same) == same
    with pytest.raises(ValueError, match=rf"another run \(config.latent: {default} -> {default + 1}\)"):
        resume.resolve_resume(str(tmp_path), other)
