"""Every job of the lab on tiny data: pictures, speech, an autoencoder and a variational one."""

import csv
import json
import pathlib
import re

import numpy as np
import PIL.Image
import pytest
import soundfile
from testbed import preprocess, script, train, voice

from models import latent_space, outliers
from models.features import audio, image, procedural
from pipelines.beam import runner
from pipelines.data import dataset, front_end, source_features
from pipelines.data import domains as corpus
from pipelines.exploration import interpolate, latent_model, perturb, sample
from pipelines.exploration import job as findings
from pipelines.exploration import outliers as outlying
from pipelines.inference import exported_model, outlier_detector
from pipelines.jobs import dataset_writer, preprocess_job, translate_folder

FRONT_END = ["n_fft=256", "n_mels=32"]
KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@pytest.fixture(scope="module")
def drawn_records(tmp_path_factory):
    """Records of pictures whose factors are known, small ones."""
    data_dir = str(tmp_path_factory.mktemp("records") / "drawn")
    domains = corpus.read_domains(["drawn=factors:pictures/60"], data_dir)
    spec = front_end.infer_spec("image", domains, ["height=16", "width=16"])
    dataset_writer.write_dataset(
        preprocess_job.PreprocessJob("image", spec, domains, data_dir, (0.2, 0.2), "file"), runner.parse_options([])
    )
    return data_dir


@pytest.fixture(scope="module")
def runs(drawn_records, speech_records, tmp_path_factory):
    """Records and a run by kind: `vae` on pictures, `ae` on speech."""
    folder = tmp_path_factory.mktemp("runs")
    train(str(folder / "pictures"), drawn_records, "vae", latent=4, steps=2).fit()
    train(str(folder / "speech"), speech_records, "ae", latent=4, steps=2).fit()
    return {"pictures": (str(folder / "pictures"), drawn_records), "speech": (str(folder / "speech"), speech_records)}


@pytest.fixture
def explored(runs, tmp_path):
    """Does a job; what it found, and what it wrote."""

    def explore(do, kind, **options):
        run_dir, data_dir = runs[kind]
        options = {"data_dir": data_dir, "output_dir": str(tmp_path), **options}
        asked = findings.Asked(do=do, run_dir=run_dir, **options)
        found = findings.explore(asked)
        numbers = json.loads((tmp_path / f"{do}.json").read_text())
        with open(tmp_path / f"{do}.csv") as file:
            rows = list(csv.DictReader(file))
        page = (tmp_path / "report.html").read_text()
        assert len(rows) == len(found.rows) > 0 and found.summary in page
        assert not re.findall(r'(?:src|href)="(?!data:)', page)
        return numbers, rows, page

    return explore


@pytest.fixture
def bench(runs):
    def opened(kind, **options):
        run_dir, data_dir = runs[kind]
        return latent_model.Lab(
            findings.Asked(do="sample", run_dir=run_dir, data_dir=data_dir, output_dir="", **options)
        )

    return opened


@KINDS
def test_what_is_reconstructed_is_scored_file_by_file(explored, kind):
    numbers, rows, page = explored("reconstruct", kind, count=2)
    assert numbers["errors"]["all"]["n"] == len(rows) == numbers["files"]
    mean = np.mean([float(row["squared_error"]) for row in rows])
    assert mean == pytest.approx(numbers["errors"]["all"]["squared_error"])
    assert numbers["compression"] == {"pictures": 16 * 16 / 4, "speech": 16 * 32 / 4}[kind]
    assert page.count("<figcaption>reconstruction, squared error") == 4 == page.count("<figcaption>difference")
    assert page.count("<audio") == (8 if kind == "speech" else 0)


@KINDS
def test_units_are_what_sounds_and_codes_come_back_file_by_file(bench, kind):
    made = bench(kind)
    files = made.files("train")
    codes = made.codes(files)
    assert [len(each) for each in codes] == [len(file.x) for file in files]
    for file, each in zip(files[:3], codes, strict=False):
        np.testing.assert_allclose(made.codes([file])[0], each, atol=1e-5)
        for start, unit in zip(file.starts, file.x, strict=True):
            if kind == "speech":
                np.testing.assert_array_equal(unit[: len(file.whole) - start], file.whole[start : start + made.frames])
    assert made.decoded(codes[0]).shape == files[0].x.shape


@KINDS
def test_a_path_between_files_is_measured_and_shown(explored, kind):
    numbers, rows, page = explored("interpolate", kind, points=5)
    files = numbers["continuity"]["linear"]["n"]
    assert set(numbers["continuity"]) == {"linear", "spherical"} and len(rows) == 2 * files
    ways = [frozenset((row["from"], row["to"])) for row in rows if row["path"] == "linear"]
    assert 10 < len(set(ways)) == len(ways) <= interpolate.PAIRS
    assert all(0 < float(row["continuity"]) <= 1 and 0 < float(row["straightness"]) <= 1 + 1e-9 for row in rows)
    assert len(numbers["linear"]["steps"]) == 4
    assert page.count("<audio") == (10 if kind == "speech" else 0)


def test_a_path_may_begin_at_a_domain_and_end_at_a_file(explored, runs, speech_folder):
    numbers, _, _ = explored("interpolate", "speech", between=("low", str(speech_folder / "high" / "clip_00.wav")))
    assert numbers["between"][0] == "low"


def test_the_ends_of_a_path_are_the_reconstructions(bench):
    made = bench("speech")
    files = made.files("test")
    ends = [made.codes([file])[0][:1] for file in (files[0], files[-1])]
    path = made.decoded(latent_space.spherical(*ends, 3))
    np.testing.assert_allclose(path[0], made.reconstructed(files[0])[: made.frames], atol=1e-4)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (("nobody", "low"), "neither a file, nor a domain or id"),
        (("low",), "wanted two"),
        (("low", __file__), "not readable as audio"),
    ],
)
def test_what_cannot_be_gone_between_is_refused(explored, between, said):
    with pytest.raises(ValueError, match=said):
        explored("interpolate", "speech", between=between)


@KINDS
def test_samples_are_held_against_the_data(explored, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "LEAST", 5)
    monkeypatch.setattr(outliers, "threshold", lambda scores, _: float(np.max(scores)))  # of fewer than are wanted
    numbers, rows, page = explored("sample", kind, count=2)
    assert [row["from"] for row in rows] == ["held out", "reconstructed", "prior", "truncated", "mixture", "noise"]
    table = numbers["samples"]
    assert table["reconstructed"]["accepted"] >= 0.6 > table["noise"]["accepted"] == 0
    assert numbers["completeness"] == table["prior"]["accepted"]
    assert 0 <= numbers["posterior"]["active_units"] <= 4 == numbers["posterior"]["latent"]
    assert len(list(tmp_path.glob("samples/*.wav"))) == page.count("<audio") == (6 if kind == "speech" else 0)


def test_completeness_wants_enough_files(explored):
    with pytest.raises(ValueError, match=r"11 pictures or windows in a split of .*; wanted 20 or more"):
        explored("sample", "pictures")


def test_a_part_of_the_files_is_not_the_first_of_them(bench):
    everyone = [file.id for file in bench("pictures").files("train")]
    few, more = ([file.id for file in bench("pictures").files("train", most=n)] for n in (8, 16))
    assert len(few) == 8 and set(few) < set(more) < set(everyone)
    assert few == sorted(few) and few[-1] > everyone[len(everyone) // 2]


def test_a_mixture_finds_the_clusters(rng):
    codes = rng.normal(size=(400, 2)) + np.where(np.arange(400) % 2, -8, 8)[:, None]
    made = sample.fitted(codes, 0)
    assert made.n_components == 2
    drawn = sample.drawn_codes(2, made, 0)
    assert np.abs(drawn["truncated"]).max() <= 1 < np.abs(drawn["prior"]).max()
    assert np.abs(drawn["mixture"].mean(axis=1)).min() > 4
    assert set(np.sign(drawn["mixture"][:20, 0])) == {-1, 1}  # the page shows the first ones


@KINDS
def test_dimensions_are_ordered_by_what_they_say(explored, kind):
    numbers, rows, page = explored("traverse", kind, count=2, points=3)
    by = {"pictures": "KL", "speech": "variance"}[kind]
    found = [float(row[by]) for row in rows]
    assert found == sorted(found, reverse=True) and sorted(numbers["order"]) == [0, 1, 2, 3]
    attributes = {"pictures": {"brightness", "slant"}, "speech": {"loudness", "f0", "centroid", "duration"}}[kind]
    assert attributes <= set(rows[0])
    assert ("information" in numbers) == (kind == "pictures")
    assert page.count("Dimension ") == 2


@KINDS
def test_perturbing_says_how_far_what_is_decoded_moves(explored, kind):
    _, rows, _ = explored("perturb", kind, count=2)
    found = [float(row["per_deviation"]) for row in rows]
    assert len(rows) == 4 and found == sorted(found, reverse=True) and min(found) >= 0


class Linear:
    """A decoder that multiplies."""

    def plain(self, x):
        return x

    def decoded(self, codes):
        return codes @ np.diag([3.0, 0.0])


def test_the_sensitivity_of_a_linear_decoder_is_its_matrix():
    moved, maps = perturb.sensitivity(Linear(), np.zeros((4, 2)), np.array([2.0, 1.0]))
    np.testing.assert_allclose(moved, [3 / 2**0.5, 0])
    np.testing.assert_allclose(maps, [[6, 0], [0, 0]], atol=1e-9)


def test_codes_are_scored_against_the_factors_that_drew_them(explored):
    numbers, rows, _ = explored("disentangle", "pictures")
    assert numbers["files"] == 60
    names = {"mig", "modularity", "sap", "factor_vae", "dci_disentanglement", "dci_completeness", "dci_informativeness"}
    assert set(rows[0]) == names and all(0 <= float(value) <= 1 for value in rows[0].values())
    assert set(numbers["gaps"]) == {"shape", "scale", "orientation", "x", "y"}


def test_scores_that_need_two_factors_are_not_given_for_one(explored, runs, tmp_path):
    data, table = dataset.open_records(runs["speech"][1]), tmp_path / "labels.csv"
    table.write_text("id,voice\n" + "".join(f"{s.id},{s.domain}\n" for s in data.sources))
    numbers, _, _ = explored("disentangle", "speech", labels=str(table))
    assert set(numbers["scores"]) == {"mig", "sap", "dci_completeness", "dci_informativeness"}
    table.write_text("id,rate\n" + "".join(f"{s.id},8000\n" for s in data.sources))
    with pytest.raises(ValueError, match="no factor varies"):
        explored("disentangle", "speech", labels=str(table))


def test_factors_may_come_from_a_table(explored, runs, tmp_path):
    data = dataset.open_records(runs["speech"][1])
    table = tmp_path / "labels.csv"
    table.write_text("id,rate,voice\n" + "".join(f"{s.id},8000,{s.domain}\n" for s in data.sources))
    numbers, _, _ = explored("disentangle", "speech", labels=str(table))
    assert set(numbers["gaps"]) == {"voice"}  # what never varies has no gap, and takes no other's
    table.write_text("id,voice\nlow/clip_00.wav,low\n")
    with pytest.raises(ValueError, match=r"labels.csv: no row with the id low/clip_.*; 23 ids"):
        explored("disentangle", "speech", labels=str(table))
    with pytest.raises(ValueError, match="no such file"):
        explored("disentangle", "speech", labels=str(tmp_path / "none.csv"))


def test_without_factors_there_is_nothing_to_score(explored):
    with pytest.raises(ValueError, match=r"no factors are known.*--labels"):
        explored("disentangle", "speech")


# ------------------------------------------------------------------ outliers


@pytest.fixture
def enough(monkeypatch):
    """Thresholds by the few held-out files that there are."""
    monkeypatch.setattr(outlying, "LEAST_HELD_OUT", 2)
    monkeypatch.setattr(outlying, "MOST_STRANGE", 16)


@pytest.fixture
def detecting(explored, runs, enough):
    """A run with a detector, and what the job found."""
    numbers, rows, page = explored("outliers", "pictures", false_positive_rate=0.3, count=2)
    return runs["pictures"][0], numbers, rows, page


def test_outliers_are_scored_and_the_threshold_stays_in_the_run(detecting):
    run_dir, numbers, rows, _ = detecting
    assert set(numbers["detection"]) == {"noise", "inverted", "blurred"}
    for found in numbers["detection"].values():
        names = {"reconstruction", "mahalanobis", "knn", "negative_elbo", "sharpness", "combined"}
        assert set(found) == names
        for measures in found.values():
            assert all(0 <= low <= high <= 1 for _, low, high in measures.values())
    assert numbers["detection"]["noise"][numbers["best"]["noise"]]["auroc"][0] > 0.9
    above = [row["flagged"] == "True" for row in rows if row["kind"] == "usual"]
    assert np.mean(above) == numbers["flagged"]["usual"]
    detector = outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))
    assert detector.threshold == numbers["threshold"]


def test_a_detector_of_the_other_kind_is_refused(detecting):
    run_dir, *_ = detecting
    with pytest.raises(ValueError, match="knows files of the kind image; these are of the kind audio"):
        outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir), kind="audio")


def test_files_that_cannot_be_read_are_left_out_of_what_is_strange(explored, enough, tmp_path, capsys):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "broken.png").write_bytes(b"no picture")
    options = {"false_positive_rate": 0.3, "count": 1, "against": (f"odd={tmp_path}/odd",)}
    with pytest.raises(ValueError, match="--against=odd=.*: no file could be read"):
        explored("outliers", "pictures", **options)
    PIL.Image.new("RGB", (16, 16)).save(tmp_path / "odd" / "whole.png")
    (tmp_path / "odd" / "notes.txt").write_text("no picture either")
    numbers, rows, _ = explored("outliers", "pictures", **options)
    assert [row["id"] for row in rows if row["kind"] == "odd"] == [str(tmp_path / "odd" / "whole.png")]
    said = capsys.readouterr().err
    assert "broken.png: not readable as a picture" in said and "odd" in numbers["detection"]
    assert "1 files with other extensions (1 .txt)" in said


def test_one_end_given_twice_and_a_file_for_a_folder_are_refused(explored, tmp_path):
    with pytest.raises(ValueError, match="--between=low was given twice"):
        explored("interpolate", "speech", between=("low", "low"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match="--output_dir=.*taken is a file"):
        explored("sample", "pictures", output_dir=str(tmp_path / "taken"))


def test_a_detector_of_other_weights_is_refused(detecting):
    run_dir, *_ = detecting
    path = pathlib.Path(run_dir, outlier_detector.FACTS)
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "weights": "those before"}))
    with pytest.raises(ValueError, match="of other weights than .* has now"):
        outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))


@pytest.mark.parametrize("job", ["sample", "outliers"])
def test_training_files_are_not_taken_for_new_ones(explored, job):
    with pytest.raises(ValueError, match="--split=train: .*; wanted val or test"):
        explored(job, "pictures", split="train")


def test_some_are_chosen_from_everywhere_and_in_order(bench):
    made = bench("pictures")
    chosen = made.some(np.arange(1000), 100)
    assert len(chosen) == 100 and np.all(np.diff(chosen) > 0) and 350 < chosen.mean() < 650
    assert made.some([1, 2], 3) == [1, 2]


def test_a_detector_says_of_a_file_what_the_job_said(detecting, runs):
    run_dir, _, rows, _ = detecting
    detector = outlier_detector.Detector.load(run_dir, exported_model.Model(run_dir))
    scores = {row["id"]: float(row["combined"]) for row in rows}
    for source, x in source_features.read_sources(dataset.open_records(runs["pictures"][1]), "test", "drawn"):
        assert detector.score(x) == pytest.approx(scores[source.id], rel=1e-3)


def test_a_long_file_is_looked_at_in_the_same_windows_by_all(bench, monkeypatch, tmp_path):
    coder = bench("speech").coder
    spec, long = coder.spec.features, tmp_path / "long.wav"
    y = np.concatenate([voice(110.0, 4.0, 8000, seed=n) for n in range(20)])
    soundfile.write(long, y, 8000)
    gain = audio.survey(str(long), spec).gain()
    whole = np.concatenate(list(audio.segments(str(long), spec, gain, 999)))
    with open(long, "rb") as file:
        of_file, starts = coder.units_of(file)
    of_records, same = coder.units(whole)
    np.testing.assert_array_equal(starts, same)
    np.testing.assert_allclose(of_file, of_records, atol=1e-5)
    assert len(starts) == outlier_detector.FRAMES // coder.frames < len(coder.units(whole, every=True)[0])
    assert np.all(np.diff(starts) > 0) and starts[-1] > 0.9 * len(whole) and np.median(starts) > 0.3 * len(whole)


def test_preprocess_leaves_out_what_is_unlike(detecting, tmp_path):
    run_dir, _, _, _ = detecting
    rng = np.random.default_rng(0)
    (tmp_path / "mixed").mkdir()
    for n in range(6):
        pixels = procedural.picture(procedural.drawn_factors(procedural.PICTURES, n, 0))
        noisy = rng.integers(0, 256, pixels.shape).astype(np.uint8)
        image.write(str(tmp_path / "mixed" / f"{n}.png"), noisy if n % 2 else pixels)
    preprocess(tmp_path, tmp_path / "records", ["mixed"], reject=run_dir)
    rows = [json.loads(line) for line in (tmp_path / "records" / "failures.jsonl").read_text().splitlines()]
    assert {f"{n}.png" for n in (1, 3, 5)} <= {row["path"].rpartition("/")[2] for row in rows}
    assert all(row["reason"].startswith("unlike the training data: outlier score") for row in rows)


def test_translate_says_what_is_unlike(detecting, picture_run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    image.write(str(tmp_path / "noise" / "x.png"), rng.integers(0, 256, (16, 16, 1)).astype(np.uint8))
    asked = {"run_dir": picture_run, "target": "tinted", "screen": detecting[0]}
    translate_folder.translate(pattern=str(tmp_path / "noise"), output_dir=str(tmp_path / "out"), **asked)
    (row,) = map(json.loads, (tmp_path / "out" / "translations.jsonl").read_text().splitlines())
    assert row["unlike"].startswith("unlike the training data")
    assert f"warning: {tmp_path}/noise/x.png: unlike" in capsys.readouterr().err


def test_speech_is_told_from_what_is_none_and_from_given_files(explored, enough, speech_folder, tmp_path):
    preprocess(speech_folder, tmp_path / "records", ("low", "high"), pairs=FRONT_END, fractions=(0.5, 0.2))
    options = {"false_positive_rate": 0.4, "against": (f"other={speech_folder}/high",)}
    options["data_dir"] = str(tmp_path / "records")
    numbers, rows, page = explored("outliers", "speech", count=1, **options)
    assert set(numbers["detection"]) == {"noise", "tones", "other"}
    assert "negative_elbo" not in rows[0] and page.count("<audio") == 2


def test_too_few_held_out_files_set_no_threshold(explored):
    with pytest.raises(ValueError, match=r"val split; wanted 20 or more to set a threshold by, see --val_fraction"):
        explored("outliers", "speech")


def test_a_run_without_a_detector_screens_nothing(code_run):
    with pytest.raises(ValueError, match=r"has no outliers.json; .*--do=outliers writes it"):
        outlier_detector.Detector.load(code_run, None)


def test_a_run_that_does_not_encode_is_refused(picture_run, picture_records):
    asked = findings.Asked(do="sample", run_dir=picture_run, data_dir=picture_records, output_dir="")
    with pytest.raises(ValueError, match="plugin cyclegan does not encode"):
        latent_model.Lab(asked)


def test_records_of_another_front_end_are_refused(runs):
    asked = findings.Asked(do="sample", run_dir=runs["speech"][0], data_dir=runs["pictures"][1], output_dir="")
    with pytest.raises(ValueError, match="another front end"):
        latent_model.Lab(asked)


# ------------------------------------------------------------------ the script


def test_the_script_does_a_job_and_says_in_one_line_what_is_wrong(runs, tmp_path):
    run_dir, data_dir = runs["pictures"]
    places = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={tmp_path}"]
    done = script("explore", "--do=perturb", "--count=2", "--split=val", *places)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Change of what is decoded" in done.stdout and (tmp_path / "perturb.csv").exists()
    for flags, said in ((["--do=pertub"], "did you mean perturb"), ([], "--do is missing")):
        done = script("explore", *flags, *places)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
