"""Tables as programs and spreadsheets write them, and what cannot be read."""

import codecs
import unicodedata

import pytest

from pipelines.data import csv_table

ROWS = [("id", "group", "size"), ("a/müll.wav", "grün, hell", "1.5"), ("a/x.wav", "rot", "2")]


def text(delimiter=",", rows=ROWS, end="\r\n"):
    quoted = [[f'"{field}"' if delimiter in field else field for field in row] for row in rows]
    return "".join(delimiter.join(row) + end for row in quoted)


@pytest.mark.parametrize("delimiter", csv_table.DELIMITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_table_is_the_same_in_every_encoding_and_by_every_delimiter(encoding, delimiter, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_bytes(text(delimiter).encode(encoding))
    found = csv_table.read_table(str(path), ("id", "group"))
    assert found.columns == ROWS[0] and found.delimiter == delimiter
    assert [tuple(row.values()) for _, row in found.rows] == ROWS[1:]
    assert [line for line, _ in found.rows] == [2, 3]
    assert ("decoded as cp1252" in capsys.readouterr().err) == (encoding == "cp1252")


def test_a_spreadsheets_first_line_names_the_delimiter(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\r\nid;size\r\na;1,5\r\n;\r\n\r\n", newline="")
    found = csv_table.read_table(str(path), ("id",))
    assert found.rows == ((3, {"id": "a", "size": "1,5"}),) and found.parse_number("1,5") == 1.5
    with pytest.raises(ValueError):
        csv_table.Table("", (), ()).parse_number("1,5")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column id; wanted the columns id, group"),
        (b"name,group\na,b\n", "no column id; wanted the columns id, group; there are: name, group"),
        (b"id,group\na,b,c\n", "line 2: 3 fields under a header of 2"),
        (b"id,group,id\na,b,c\n", "two columns are named id"),
        (b"id,group\n\x81\x8d,x\n", "is not text in UTF-8, UTF-16 or cp1252"),
        (codecs.BOM_UTF16_LE + b"i\0d", "is not text in utf-16"),
        (bytes(range(256)), "is not text"),
        (b'id,group\n"' + 200000 * b"x", "line [23]: field larger than"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(content, said, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"t.csv.*{said}") as caught:
        csv_table.read_table(str(tmp_path / "t.csv"), ("id", "group"))
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ValueError, match="no such file; wanted a CSV file with the columns id"):
            csv_table.read_table(str(path), ("id",))


def test_rows_are_found_by_ids_with_accents_of_either_form(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text(rows=[("id", "n"), (unicodedata.normalize("NFC", "a/é.wav"), "1"), ("b", "2"), ("b", "2")]))
    known = csv_table.read_table(str(path), ("id",)).rows_by_id()
    assert known.get(unicodedata.normalize("NFD", "a/é.wav"))["n"] == "1"
    with pytest.raises(ValueError, match="t.csv: no row with the id c; 2 ids have none"):
        known.get_all("t.csv", ["b", "c", "d"])
    path.write_text(text(rows=[("id", "n"), ("b", "1"), ("b", "2")]))
    with pytest.raises(ValueError, match="line 3: a second row with the id b and other values"):
        csv_table.read_table(str(path), ("id",)).rows_by_id()
