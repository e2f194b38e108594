"""Lists of source files."""

import json

import pytest
import soundfile
from preprocessing import examples, rows, text
from testbed import script, voice

from models.errors import UserError
from pipelines.data import dataset, domains, source_list, split_fractions, work_rows
from pipelines.data.file_table import FileEntry


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "clips").mkdir()
    for n in range(6):
        soundfile.write(tmp_path / "clips" / f"{n}.wav", voice(110.0 + 20 * n, 0.5, 8000, n), 8000)
    return tmp_path


ROWS = [
    {"path": "clips/0.wav", "domain": "low", "label": "calm", "speaker": "s0", "split": "train"},
    {"path": "clips/1.wav", "domain": "low", "label": "", "speaker": "s1", "split": "val"},
    {"path": "clips/2.wav", "domain": "low", "label": "calm", "speaker": "s1", "split": "test"},
    {"path": "clips/3.wav", "domain": "high", "label": "loud", "speaker": "s2", "split": "train"},
]


def write(path, fields, delimiter=","):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in fields))
    else:
        lines = [fields[0].keys(), *(row.values() for row in fields)]
        path.write_text("".join(delimiter.join(line) + "\n" for line in lines), encoding="utf-8-sig")
    return str(path)


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a.jsonl", "")])
def test_a_list_gives_the_files_of_each_domain(corpus, name, delimiter):
    files = source_list.read_list(write(corpus / name, ROWS, delimiter))
    assert list(files) == ["low", "high"]
    size = (corpus / "clips" / "3.wav").stat().st_size
    assert files["high"] == [FileEntry(f"{corpus}/clips/3.wav", size, "loud", "s2", "train")]
    assert [entry.split for entry in files["low"]] == ["train", "val", "test"]


def test_the_metadata_of_a_hugging_face_dataset_is_a_list(corpus):
    files = source_list.read_list(write(corpus / "clips" / "metadata.csv", [{"file_name": "0.wav", "domain": "a"}]))
    assert [entry.path for entry in files["a"]] == [f"{corpus}/clips/0.wav"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_list_of_one_domain_needs_no_column_for_it(corpus, suffix):
    fields = [{"file_name": f"{n}.wav", "speaker": f"s{n}"} for n in range(3)]
    path = write(corpus / "clips" / f"metadata.{suffix}", fields)
    (domain,) = domains.read_domains([], lists=[f"anna={path}"])
    assert (domain.name, [entry.speaker for entry in domain.files]) == ("anna", ["s0", "s1", "s2"])
    with pytest.raises(UserError, match="domain"):
        domains.read_domains([], lists=[path])
    with pytest.raises(UserError, match="the name 'a b' has other characters"):
        domains.read_domains([], lists=[f"a b={path}"])


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"path": "", "domain": "a"}, "line 2: no path; wanted"),
        ({"path": "x.wav", "domain": " "}, "line 2: no domain"),
        ({"path": "x.wav", "domain": "a", "split": "dev"}, "line 2: split dev; wanted one of train, val, test"),
        ({"path": "clips/0.wav", "domain": "low", "split": "val"}, "line 2: a second row of clips/0.wav"),
        ({"path": ["x.wav"], "domain": "a"}, r"line 2: path \['x.wav'\]; wanted a text"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(corpus, row, complaint):
    with pytest.raises(UserError, match=complaint):
        source_list.read_list(write(corpus / "a.jsonl", [ROWS[0], row]))


def test_other_files_are_no_lists(corpus):
    with pytest.raises(UserError, match="wanted a file that ends with .csv"):
        source_list.read_list(str(corpus / "a.txt"))
    (corpus / "a.csv").write_text("name,domain\nx,y\n")
    with pytest.raises(UserError, match="no column path; it has name, domain"):
        source_list.read_list(str(corpus / "a.csv"))
    (corpus / "a.csv").write_text("path,domain\n")
    with pytest.raises(UserError, match="no rows"):
        source_list.read_list(str(corpus / "a.csv"))


def test_the_records_have_labels_speakers_and_splits_of_the_list_and_what_is_missing_is_a_failure(corpus):
    path = write(corpus / "a.jsonl", [*ROWS, {"path": "clips/none.wav", "domain": "low"}])
    done = script("preprocess", f"--list={path}", f"--domain=glob={corpus}/clips/[45].wav", f"--data_dir={corpus}/out")
    assert done.returncode == 0, done.stderr
    assert f"warning: 1 files could not be read; the first: {corpus}/clips/none.wav: " in done.stderr
    (failure,) = rows(corpus / "out", "failures.jsonl")
    assert failure["path"].endswith("none.wav") and "No such file" in failure["reason"]
    manifest = {row["id"]: row for row in rows(corpus / "out", "manifest.jsonl")}
    assert [manifest[f"low/{n}.wav"]["split"] for n in range(3)] == ["train", "val", "test"]
    assert manifest["low/0.wav"]["label"] == "calm" and manifest["low/1.wav"]["speaker"] == "s1"
    assert not {"label", "speaker"} & manifest["glob/4.wav"].keys()
    data = dataset.open_records(str(corpus / "out"))
    labels = {text(e["id"]): text(e["label"]) for e in examples(data, data.shards("train", "low"))}
    assert labels == {"low/0.wav": "calm"} and data.sources_of("val", "low")[0].speaker == "s1"


def test_speakers_are_in_one_split_each(corpus):
    fields = [{"path": f"clips/{n}.wav", "domain": "a", "speaker": f"s{n % 3}"} for n in range(6)]
    (domain,) = domains.read_domains([], lists=[write(corpus / "a.jsonl", fields)])
    keys = [key for _, key in split_fractions.split_keys(domain, "speaker", 0)]
    assert keys[:3] == keys[3:] and len(set(keys)) == 3
    (domain,) = domains.read_domains([], lists=[write(corpus / "b.jsonl", [{"path": "x.wav", "domain": "a"}])])
    with pytest.raises(UserError, match="--split_by=speaker: .*x.wav has no speaker"):
        list(split_fractions.split_keys(domain, "speaker", 0))


def test_a_domain_has_one_origin(corpus):
    path = write(corpus / "a.jsonl", ROWS)
    with pytest.raises(UserError, match="the domain low is also elsewhere"):
        domains.read_domains([f"low={corpus}/clips"], lists=[path])
    with pytest.raises(UserError, match="the name 'a b' has other characters"):
        domains.read_domains([], lists=[write(corpus / "b.jsonl", [{"path": "x.wav", "domain": "a b"}])])


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_lists_are_read_without_tensorflow(tmp_path, in_new_process, suffix):
    text = "path,domain\na.wav,a\n" if suffix == "csv" else '{"path": "a.wav", "domain": "a"}\n'
    (tmp_path / f"list.{suffix}").write_text(text)
    code = (
        "import sys; from pipelines.data import source_list; (name,) = source_list.read_list(sys.argv[1])\n"
        "assert name == 'a' and 'tensorflow' not in sys.modules"
    )
    in_new_process(code, tmp_path / f"list.{suffix}")


def test_a_list_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.jsonl: no such file; wanted a list"):
        source_list.read_list(str(tmp_path / "nowhere.jsonl"))


def parallel(folder, names=("anna", "bert"), count=12):
    """Rows of files with the same names in a folder of each domain."""
    return {
        name: [{"path": f"{folder.format(name)}/x/{n}.wav", "domain": name, "speaker": f"s{n}"} for n in range(count)]
        for name in names
    }


@pytest.mark.parametrize(
    "folder", ["{}", "/corpora/{}", "corpus/{}/clips", "{}.zip", "clips.zip/{}", "store://bucket/{}", "[{}]"]
)
def test_parallel_domains_of_one_list_have_the_ids_and_splits_of_a_list_for_each(tmp_path, folder):
    by_domain = parallel(folder)
    together = write(tmp_path / "all.jsonl", [row for fields in by_domain.values() for row in fields])
    each = [f"{name}={write(tmp_path / f'{name}.jsonl', fields)}" for name, fields in by_domain.items()]
    found, wanted = domains.read_domains([], lists=[together]), domains.read_domains([], lists=each)
    assert found == wanted
    for split_by in ("file", "prefix", "speaker"):
        anna, bert = ([key for _, key in split_fractions.split_keys(domain, split_by, 0)] for domain in found)
        assert anna == bert
    options = {"kind": "audio", "fractions": (0.2, 0.2), "split_by": "file", "seed": 0}
    splits = {row["id"]: row["split"] for row in work_rows.work_rows(found, **options)}
    assert splits == {f"{name}/{n}.wav": splits[f"bert/{n}.wav"] for name in by_domain for n in range(12)}


def test_a_domain_of_one_file_in_a_list_has_its_name_as_id(tmp_path):
    fields = [{"path": f"{name}/{n}.wav", "domain": name} for name, count in (("a", 1), ("b", 2)) for n in range(count)]
    one, two = domains.read_domains([], lists=[write(tmp_path / "a.jsonl", fields)])
    assert (one.root, two.root) == (f"{tmp_path}/a/", f"{tmp_path}/b/")
