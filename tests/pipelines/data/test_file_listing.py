"""Every name below a folder or glob is a file of the listing or is counted with the reason."""

import collections
import json
import os
import pathlib
import sys
import warnings

import pytest
import store
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from pipelines import path_patterns
from pipelines.beam import filesystem
from pipelines.data import file_listing, ignored_files

SUFFIXES = (".wav", ".png")


@pytest.fixture
def tree(tmp_path):
    def make(*paths):
        for path in (tmp_path / path for path in paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        return str(tmp_path)

    return make


def names(found, root):
    return [path.removeprefix(f"{root}/") for path in found.paths]


def test_a_folder_stands_for_known_endings_and_counts_the_others(tree):
    root = tree("1.wav", "b/2.WAV", "b/3.txt", "b/4.m4a", "c/5.m4a", "c/README")
    found = file_listing.list_files([root], SUFFIXES)
    assert names(found, root) == ["1.wav", "b/2.WAV"]
    assert found.ignored.counts == {ignored_files.EXTENSION: 4}
    assert found.ignored.summary() == "4 files with other extensions (2 .m4a, 1 .txt, 1 none)"
    assert found.total_bytes == len("1.wav") + len("2.WAV")


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**", "{}/*/*.wav", "{}/**/*.wav", "{}//*/x.wav"])
def test_links_to_folders_are_followed_once_and_loops_are_not(tree, form):
    root = tree("real/x.wav", "store/deep/x.wav")
    os.symlink(".", os.path.join(root, "real", "loop"))
    os.symlink("../store/deep", os.path.join(root, "real", "s1"))
    os.symlink("../..", os.path.join(root, "store", "deep", "up"))
    found = file_listing.list_files([form.format(os.path.join(root, "real"))], SUFFIXES)
    assert f"{root}/real/s1/x.wav" in found.paths
    assert len(found.paths) == len({os.path.realpath(path) for path in found.paths})
    assert found.ignored.counts[ignored_files.LISTED_FOLDER] >= (form != "{}//*/x.wav" and form != "{}/*/*.wav")


def test_a_file_that_patterns_spell_in_several_ways_is_listed_once(tree, monkeypatch):
    root = tree("a/x.wav", "a/b/y.wav", "c/z.wav")
    os.symlink("a", os.path.join(root, "link"))
    monkeypatch.chdir(root)
    found = file_listing.list_files(["a", "c/../a", f"{root}/a/*.wav", "./a/x.wav", "link/b", "a/*"], SUFFIXES)
    assert found.paths == ["a/b/y.wav", "a/x.wav"]
    assert found.ignored.counts[ignored_files.LISTED_FILE] == 5


def test_a_folder_is_listed_under_its_own_name_also_where_a_link_comes_first(tree):
    root = tree("z/x.wav")
    os.symlink("z", os.path.join(root, "a"))
    found = file_listing.list_files([root], SUFFIXES)
    assert names(found, root) == ["z/x.wav"] and found.ignored.counts == {ignored_files.LISTED_FOLDER: 1}


def test_what_is_no_file_is_counted_and_never_opened(tree):
    root = tree("good.wav")
    os.symlink("../nowhere.wav", os.path.join(root, "annexed.wav"))
    os.mkfifo(os.path.join(root, "pipe.wav"))
    os.mkdir(os.path.join(root, "folder.wav"))
    for pattern in (root, f"{root}/*.wav"):
        found = file_listing.list_files([pattern], SUFFIXES)
        assert names(found, root) == ["good.wav"]
        counts = dict(found.ignored.counts)
        counts.pop(ignored_files.NAMED_FOLDER, None)
        assert counts == {ignored_files.BROKEN: 1, ignored_files.IRREGULAR: 1}
    found = file_listing.list_files([f"{root}/pipe.wav"], SUFFIXES)
    with pytest.raises(ValueError, match="no file matches; ignored: 1 special files"):
        file_listing.require_files("no file matches", found)


def test_a_folder_that_cannot_be_read_is_counted(tree, monkeypatch):
    root = tree("good.wav", "locked/x.wav")
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = file_listing.list_files([root], SUFFIXES)
    assert names(found, root) == ["good.wav"] and found.ignored.counts == {ignored_files.UNREADABLE: 1}


METADATA = ["._1.wav", ".DS_Store", "b/Thumbs.db", "b/desktop.ini", "__MACOSX/._2.wav", ".git/annex/x.wav"]


@pytest.mark.parametrize("form", ["{}", "{}/**", "{}/**/*.wav"])
def test_metadata_of_systems_and_tools_is_no_input(tree, form):
    root = tree("1.wav", ".own.wav", *METADATA, ".crossfade-work/sources-00000.wav")
    found = file_listing.list_files([form.format(root)], SUFFIXES)
    assert names(found, root) == [".own.wav", "1.wav"]
    assert found.ignored.counts[ignored_files.METADATA] >= 3


ODD = ["a\\b.wav", "[x].wav", "a*b?.wav", "tab\t.wav", "line\nbreak.wav", "ünï.wav", "#.wav", " .wav", "{a,b}.wav"]


@pytest.mark.parametrize("form", ["{}", "{}/*.wav", "{}/**.wav", "{}/**/*.wav", "{}/[!q]*"])
def test_odd_names_are_names(tree, form):
    root = tree(*ODD)
    assert names(file_listing.list_files([form.format(root)], SUFFIXES), root) == sorted(ODD)


@pytest.mark.parametrize("name", ODD)
def test_a_file_may_be_named_whatever_its_name(tree, name):
    root = tree(*ODD)
    assert names(file_listing.list_files([f"{root}/{name}"], SUFFIXES), root) == [name]


def test_capitals_are_said_where_a_glob_does_not_mean_them(tree):
    root = tree("1.wav", "2.WAV", "3.Wav", "4.txt")
    found = file_listing.list_files([f"{root}/*.wav"], SUFFIXES)
    assert names(found, root) == ["1.wav"] and found.ignored.counts == {ignored_files.CAPITALS: 2}
    assert "2.WAV" in found.ignored.summary()


def test_a_glob_of_folders_stands_for_what_is_in_them(tree):
    root = tree("s1/1.wav", "s2/deep/2.wav", "s2/3.txt")
    assert names(file_listing.list_files([f"{root}/s*"], SUFFIXES), root) == ["s1/1.wav", "s2/deep/2.wav"]
    tree("s.wav")
    found = file_listing.list_files([f"{root}/s*"], SUFFIXES)
    assert names(found, root) == ["s.wav"] and found.ignored.counts == {ignored_files.NAMED_FOLDER: 2}


@pytest.mark.parametrize("form", ["{}", "{}/**", "{}/*/*.wav", "{}/**/*.wav"])
def test_each_folder_is_listed_once(tree, form):
    root = tree(*(f"{n % 7}/{n}.wav" for n in range(50)))
    seen = collections.Counter()

    def hook(event, arguments):
        if event == "os.scandir" and counting and str(arguments[0]).startswith(root):
            seen[os.path.realpath(str(arguments[0]))] += 1

    counting = [True]
    sys.addaudithook(hook)
    found = file_listing.list_files([form.format(root)], SUFFIXES)
    counting.clear()
    assert len(found.files) == 50 and set(seen.values()) == {1} and len(seen) == 8


def test_a_home_directory_is_expanded(tree, monkeypatch):
    root = tree("in/1.wav")
    monkeypatch.setenv("HOME", root)
    assert file_listing.list_files(["~/in"], SUFFIXES).paths == [f"{root}/in/1.wav"]


def write_translations(folder, *outputs):
    with open(os.path.join(folder, "translations.jsonl"), "w") as file:
        file.writelines(f"{json.dumps({'path': 'x', 'output': name})}\n" for name in outputs)


def test_results_of_an_earlier_translate_are_no_input_but_their_neighbours_are(tree):
    root = tree("1.wav", "out/1.wav", "out/own.wav")
    write_translations(f"{root}/out", "1.wav")
    found = file_listing.list_files([root], SUFFIXES)
    assert names(found, root) == ["1.wav", "out/own.wav"] and found.ignored.counts[ignored_files.RESULTS] == 1
    chained = file_listing.list_files([f"{root}/out"], SUFFIXES, output_dir=f"{root}/further")
    assert names(chained, root) == ["out/1.wav", "out/own.wav"], "what the user names is meant"


def test_results_in_a_list_of_several_files_are_no_input(place):
    rows = {f"out/translations-0000{n}-of-00002.jsonl": json.dumps({"output": f"{n}.wav"}) for n in range(2)}
    root = place({"1.wav": "", "out/0.wav": "", "out/1.wav": "", "out/own.wav": "", **rows})
    assert names(file_listing.list_files([root], SUFFIXES), root) == ["1.wav", "out/own.wav"]


def test_where_a_command_writes_is_no_input(tree):
    root = tree("1.wav", "out/1.wav", "out/2.wav")
    found = file_listing.list_files([root], SUFFIXES, output_dir=f"{root}/out")
    assert names(found, root) == ["1.wav"] and found.ignored.counts == {ignored_files.RESULTS: 1}
    write_translations(root, "2.png")
    tree("2.png")
    assert names(file_listing.list_files([root], SUFFIXES, output_dir=root), root) == [
        "1.wav",
        "out/1.wav",
        "out/2.wav",
    ]


def test_somebody_elses_file_called_translations_changes_nothing(tree):
    root = tree("1.wav", "out/1.wav", "out/translations.jsonl", "more/2.wav")
    (listing_before) = names(file_listing.list_files([root], SUFFIXES), root)
    assert listing_before == ["1.wav", "more/2.wav", "out/1.wav"]


@pytest.mark.parametrize("line", ["5", "null", "[1]", '{"output": 5}', '{"output": null}', '{"output": "\\u0000"}'])
def test_whatever_stands_in_a_file_called_translations_the_listing_goes_on(tree, line):
    root = tree("1.wav", "out/1.wav")
    (pathlib.Path(root) / "out" / "translations.jsonl").write_text(line)
    assert names(file_listing.list_files([root], SUFFIXES), root) == ["1.wav", "out/1.wav"]


@pytest.fixture(params=["disk", "store"])
def place(request, tmp_path, monkeypatch):
    """Writes files below a folder on a disk or a store; the folder."""
    monkeypatch.setattr(store, "OBJECTS", {})
    root = str(tmp_path) if request.param == "disk" else "store://bucket/in"

    def make(contents):
        for name, text in contents.items():
            filesystem.write_text(f"{root}/{name}", text)
        return root

    return make


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**.wav", "{}/**/*.wav"])
def test_results_are_no_input_on_a_store_as_on_a_disk(place, form):
    row = json.dumps({"output": "d/1.wav"})
    root = place({"1.wav": "", "d/1.wav": "", "d/2.wav": "", "old/translations.jsonl": row, "old/d/1.wav": "x"})
    place({"old/own.wav": "", "now/9.wav": ""})
    found = file_listing.list_files([form.format(root)], SUFFIXES, output_dir=f"{root}/now")
    assert names(found, root) == ["1.wav", "d/1.wav", "d/2.wav", "old/own.wav"]
    place({"translations.jsonl": row})
    assert "d/1.wav" in names(file_listing.list_files([form.format(root)], SUFFIXES), root), (
        "what the user names is meant"
    )
    found = file_listing.list_files([form.format(root)], SUFFIXES, output_dir=root)
    assert names(found, root) == ["1.wav", "d/2.wav", "now/9.wav", "old/own.wav"]


def test_what_lies_below_where_a_command_writes_is_input_where_the_user_names_it(place):
    root = place({"sources/a/1.wav": "", "sources/a/d/2.wav": ""})
    for form in ("{}/sources/a", "{}/sources/a/**.wav"):
        found = file_listing.list_files([form.format(root)], SUFFIXES, output_dir=root)
        assert names(found, f"{root}/sources/a") == ["1.wav", "d/2.wav"]


def test_a_bucket_is_a_folder(monkeypatch):
    monkeypatch.setattr(store, "OBJECTS", {"store://bucket/1.wav": b"", "store://bucket/d/2.wav": b""})
    monkeypatch.setattr(store.Store, "exists", lambda *_: pytest.fail("a bucket is no object"))
    for pattern in ("store://bucket", "store://bucket/"):
        found = file_listing.list_files([pattern], SUFFIXES)
        assert found.root == "store://bucket/" and names(found, "store://bucket") == ["1.wav", "d/2.wav"]


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("[a-c]", "abc", "d-["),
        ("[c-a]", "", "abc"),
        ("[!c-a]", "ab]", ""),
        ("[!]]", "a!", "]"),
        ("[]!]", "]!", "a"),
        ("[^a]", "^a", "b"),
        ("[a-]", "a-", "b"),
        ("[a||b&&c~~-]", "a|b&c~-", "x"),
        ("[\\d]", "\\d", "5"),
    ],
)
def test_brackets_in_globs_stand_for_characters_as_in_shells(pattern, matches, others):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "".join(c for c in matches + others if path_patterns.glob_to_regex(pattern).fullmatch(c)) == matches


@laws
@given(pattern=st.text("ab[]!^-*?\\/&|~", max_size=8))
def test_every_text_is_a_glob(pattern):
    path_patterns.glob_to_regex(pattern).fullmatch("ab")


def test_a_store_without_folders_is_listed_by_one_request(monkeypatch):
    objects = {f"store://bucket/in/{name}": b"abc" for name in ("1.wav", "d/2.WAV", "._3.wav", "4.m4a", "out/5.wav")}
    objects |= {"store://bucket/in.wav": b"", "store://bucket/in2/6.wav": b"", "store://bucket/in/": b""}
    monkeypatch.setattr(store, "OBJECTS", objects)
    requests = []
    listed = store.Store._list
    monkeypatch.setattr(store.Store, "_list", lambda self, prefix: requests.append(prefix) or listed(self, prefix))
    for pattern in ("store://bucket/in", "store://bucket/in/"):
        requests.clear()
        found = file_listing.list_files([pattern], SUFFIXES, output_dir="store://bucket/in/out")
        assert found.paths == ["store://bucket/in/1.wav", "store://bucket/in/d/2.WAV"]
        assert found.root == "store://bucket/in/" and found.total_bytes == 6
        assert found.ignored.counts == {ignored_files.METADATA: 1, ignored_files.EXTENSION: 1, ignored_files.RESULTS: 1}
        assert len(requests) == 1
    assert file_listing.list_files(["store://bucket/in.wav"], SUFFIXES).paths == ["store://bucket/in.wav"]
    assert file_listing.list_files(["store://bucket/in/**.wav"], SUFFIXES).ignored.counts[ignored_files.CAPITALS] == 1


@laws
@given(name=st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12))
def test_an_escaped_name_matches_itself_alone(name):
    assert path_patterns.glob_to_regex(path_patterns.escape(name)).fullmatch(name) and not path_patterns.is_glob(
        path_patterns.escape(name)
    )
    assert path_patterns.literal_prefix(path_patterns.escape(name)) == name
    assert not path_patterns.glob_to_regex(path_patterns.escape(name)).fullmatch(f"{name}x")
