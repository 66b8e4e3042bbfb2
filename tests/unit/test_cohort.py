import os
import unicodedata

import pytest

from clickpet.cohort import MAX_FIELD_LENGTH, one_spelling, patient_key, read_cohort, write_cohort
from clickpet.errors import InputError

HEADER = "case\ttracer\tpatient\tcentre\tsplit\tct\tpet\tlabel\tclicks\torgans"


@pytest.fixture
def table(tmp_path):
    for name in ("ct.nii.gz", "pet.nii.gz", "label.nii.gz"):
        (tmp_path / name).touch()

    def write(*rows, header=HEADER):
        files = {"CT": tmp_path / "ct.nii.gz", "PET": tmp_path / "pet.nii.gz", "LABEL": tmp_path / "label.nii.gz"}
        path = tmp_path / "cases.tsv"
        path.write_text("\n".join([header, *(row.format(**files) for row in rows)]) + "\n")
        return path

    return write


def test_names_with_spaces_and_dots_survive(table):
    name = "fdg_0011f3deaf_03-23-2003-NA-PET.CT Ganzkoerper  primaer mit KM-10445"
    (study,) = read_cohort(table(f"{name}\tfdg\t0011f3deaf\tUKT\ttrain\t{{CT}}\t{{PET}}\t{{LABEL}}\t\t"))
    assert study.case == name
    assert " " not in study.slug
    assert study.clicks == ""
    assert study.label.endswith("label.nii.gz")


def test_optional_columns_may_be_left_out(table):
    (study,) = read_cohort(table("a\tp\tpredict\t{CT}\t{PET}", header="case\tpatient\tsplit\tct\tpet"))
    assert (study.tracer, study.label, study.centre) == ("", "", "")


GOOD = "a\tfdg\tp1\t\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, GOOD], "case 'a' is in line 2 already"),
        (["a\tFDG\tp1\t\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"], "unknown tracer 'FDG'"),
        (["a\t\tp1\t\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"], "a train case needs its tracer"),
        (["a\tfdg\tp1\t\tvalid\t{CT}\t{PET}\t{LABEL}\t\t"], "unknown split 'valid'"),
        (["a\tfdg\tp1\t\ttest\t{CT}\t{PET}\t\t\t"], "a test case needs a label"),
        (["a\tfdg\t\t\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"], "patient is empty"),
        (["a\tfdg\tp1\t\ttrain\tgone.nii.gz\t{PET}\t{LABEL}\t\t"], "ct 'gone.nii.gz' does not exist"),
        ([GOOD, "b\tfdg\tp1\t\ttest\t{CT}\t{PET}\t{LABEL}\t\t"], "patient 'p1' is in both train and test"),
        (["a\tfdg\tp1"], "line 2 has not as many fields"),
        ([], "has no studies"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(table, rows, message):
    with pytest.raises(InputError) as error:
        read_cohort(table(*rows))
    assert message in str(error.value)
    assert "cases.tsv" in str(error.value)
    assert "\n" not in str(error.value)


def test_all_mistakes_are_told_at_once(table):
    with pytest.raises(InputError) as error:
        read_cohort(table("a\tx\tp\t\tnone\t{CT}\t{PET}\t\t\t", "a\tfdg\tp\t\tpredict\tno\t{PET}\t\t\t"))
    assert all(what in str(error.value) for what in ("unknown tracer", "unknown split", "does not exist", "already"))


def test_files_that_the_workflow_makes_need_not_exist(table):
    (study,) = read_cohort(table("a\tfdg\tp\t\tpredict\tresults/x.nii.gz\t{PET}\t\t\t"))
    assert study.ct == "results/x.nii.gz"


@pytest.mark.parametrize(
    "header", ["case\tpatient\tsplit\tct", "case\tpatient\tsplit\tct\tpet\tcolour", "case,patient"]
)
def test_a_wrong_header_is_told(table, header):
    with pytest.raises(InputError, match="header"):
        read_cohort(table("a\tb\tc\td\te\tf", header=header))


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="clickpet cohort"):
        read_cohort(tmp_path / "none.tsv")


def test_the_written_cohort_keeps_name_slug_and_fold(table, tmp_path):
    studies = read_cohort(table("A b\tfdg\tp1\tUKT\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"))
    write_cohort(tmp_path / "out.tsv", studies, {studies[0].slug: 1})
    header, row = (line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines())
    values = dict(zip(header, row, strict=True))
    assert (values["case"], values["slug"], values["fold"]) == ("A b", studies[0].slug, "1")


UMLAUT = "M\u00fcller"
SPELLINGS = [
    ("p1", "p1 "),
    ("p1", "P1"),
    ("p1", "\u00a0p1"),
    (UMLAUT, unicodedata.normalize("NFD", UMLAUT)),
    ("Stra\u00dfe", "STRASSE"),
]


@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_spellings_of_one_patient_are_one_patient(table, first, second):
    rows = ["c{}\tfdg\t{}\t\t{}\t{{CT}}\t{{PET}}\t{{LABEL}}\t\t".format(*row) for row in
            ((1, first, "train"), (2, second, "test"))]  # fmt: skip
    with pytest.raises(InputError, match=r"line 3: patient .* is in both train and test \(line 2, there written"):
        read_cohort(table(*rows))
    told = []
    studies = read_cohort(table(*(row.replace("test", "train") for row in rows)), tell=told.append)
    assert studies[0].patient == studies[1].patient
    assert "1 patients are written in several ways" in told[0]
    turned = read_cohort(table(*(row.replace("test", "train") for row in reversed(rows))), tell=told.append)
    assert turned[0].patient == studies[0].patient


def test_patients_that_differ_stay_apart():
    names = ["p1", "p2", "p 1", "p1a", "q1", "p\u00e91", "pe1"]
    assert one_spelling(names) == {name: name for name in names}
    assert len({patient_key(name) for name in names}) == len(names)


def test_nothing_is_told_of_a_good_table(table, tmp_path):
    (tmp_path / "pet2.nii.gz").touch()
    told = []
    other = f"b\tfdg\tp2\t\ttest\t{{CT}}\t{tmp_path}/pet2.nii.gz\t{{LABEL}}\t\t"
    assert len(read_cohort(table(GOOD, other), tell=told.append)) == 2
    assert told == []


@pytest.mark.parametrize("link", [os.symlink, os.link, lambda pet, other: None])
def test_the_same_scan_in_two_rows_is_told(table, tmp_path, link):
    pet, other = tmp_path / "pet.nii.gz", tmp_path / "other.nii.gz"
    table()
    link(pet, other)
    path = other if other.exists() else f"{tmp_path}/./pet.nii.gz"
    told = []
    read_cohort(table(GOOD, f"b\tfdg\tp2\t\ttest\t{{CT}}\t{path}\t{{LABEL}}\t\t"), tell=told.append)
    assert len(told) == 1
    assert "1 PETs are in several rows (first: lines 2, 3)" in told[0]


@pytest.mark.parametrize("other", ["A", "a ", "\u00e4", "a\u0308"])
def test_one_case_in_two_spellings(table, other):
    first = "a\u0308" if other == "\u00e4" else "\u00e4" if other == "a\u0308" else "a"
    rows = [f"{name}\t{GOOD.partition(chr(9))[2]}" for name in (first, other)]
    with pytest.raises(InputError, match=r"line 3: case .* is in line 2 already, there written"):
        read_cohort(table(*rows))


@pytest.mark.parametrize("blank", ["", "  ", "\t\t\t"])
def test_lines_are_counted_with_the_blank_ones(table, blank):
    with pytest.raises(InputError, match=r"line 6 \(b\): unknown tracer 'FDG'"):
        read_cohort(table(GOOD, blank, blank, blank, "b\tFDG\tp2\t\ttrain\t{CT}\t{PET}\t{LABEL}\t\t"))
    assert [study.case for study in read_cohort(table(blank, GOOD, blank))] == ["a"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_other_systems(table, end):
    path = table(GOOD)
    path.write_bytes(path.read_text().replace("\n", end).encode())
    assert [study.case for study in read_cohort(path)] == ["a"]


def with_value(name, value):
    values = dict(zip(HEADER.split("\t"), GOOD.split("\t"), strict=True)) | {name: value}
    return "\t".join(values[column] for column in HEADER.split("\t"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("patient", '"p1"', 'patient "p1" is in quotes'),
        ("case", '"say ""hi"""', "is in quotes"),
        ("centre", "x" * 200_000, f"centre has 200000 characters, at most {MAX_FIELD_LENGTH} are read"),
        ("case", "a\x1b[31m", "holds a control character"),
        ("centre", "a\0b", "holds a control character"),
        ("ct", "{{x}}/ct.nii.gz", "ct '{x}/ct.nii.gz' holds braces"),
        ("clicks", "a}}b.json", "clicks 'a}b.json' holds braces"),
        ("pet", "/tmp/" + "x" * 300, "cannot be read (File name too long)"),
        ("tracer", "y" * 3000, "unknown tracer 'yyy"),
    ],
)  # fmt: skip
def test_a_field_that_no_table_should_hold(table, name, value, message):
    with pytest.raises(InputError) as caught:
        read_cohort(table(with_value(name, value)))
    assert "line 2" in str(caught.value)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ['"q" x', '5" scan', "a'b", "=1+1", "@home", "-x", "caseA", "日本語", "x" * 4000])
def test_odd_names_that_are_fine(table, name):
    assert read_cohort(table(with_value("case", name)))[0].case == name
    assert read_cohort(table(with_value("patient", name)))[0].patient == name


def test_braces_in_names_are_fine(table):
    assert read_cohort(table(with_value("case", "a{{b}}")))[0].case == "a{b}"


def test_a_column_that_is_there_twice(table):
    with pytest.raises(InputError, match=r"has the columns \['patient'\] twice; keep one of each"):
        read_cohort(table("a\tp\tq\tpredict\t{CT}\t{PET}", header="case\tpatient\tpatient\tsplit\tct\tpet"))


def test_a_folder_that_is_called_like_a_file(table, tmp_path):
    (tmp_path / "scan.nii.gz").mkdir()
    (tmp_path / "series").mkdir()
    with pytest.raises(InputError, match=r"ct .*scan.nii.gz' is a folder called like a file"):
        read_cohort(table(with_value("ct", f"{tmp_path}/scan.nii.gz")))
    assert read_cohort(table(with_value("ct", f"{tmp_path}/series")))[0].ct.endswith("series")


def test_a_table_that_is_no_file(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        read_cohort(tmp_path)
    (tmp_path / "utf16.tsv").write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(InputError, match="save it as tab-separated UTF-8"):
        read_cohort(tmp_path / "utf16.tsv")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "@x", "-2", "'=x", "plain"])
def test_names_that_look_like_formulas_survive_the_written_cohort(table, tmp_path, name):
    studies = read_cohort(table(with_value("case", name)))
    write_cohort(tmp_path / "out.tsv", studies, {})
    field = (tmp_path / "out.tsv").read_text().splitlines()[1].split("\t")[0]
    assert field[0] not in "=+@-"
    (again,) = read_cohort(tmp_path / "out.tsv")
    assert (again.case, again.slug) == (studies[0].case, studies[0].slug)
