import pytest

from clickpet.cohort import read_cohort, write_cohort
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
