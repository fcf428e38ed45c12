"""``xtalshift check`` at the prompt."""

import pandas as pd


def test_check_prints_what_was_read_and_what_is_odd(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text("formula;gap, eV\nTi02;3,2\nNaCl;8,5\nTi-6Al-4V;0,1\n", encoding="utf-8")
    found = xtalshift("check", table, "--fix", tmp_path / "fixed.csv")
    assert found.code == 0
    assert "Format:   text table, utf-8; separator semicolon" in found.out
    assert "Target:   column 'gap, eV'" in found.out
    assert "Rows:     3, of which 1 can be used" in found.out
    assert "- formula: a zero for the letter O (1 row). Write the letter." in found.out
    assert "(did you mean 'TiO2'?)" in found.out
    assert "fixed.csv (rows changed: 1; usable: 2 of 3)" in found.out
    fixed = pd.read_csv(tmp_path / "fixed.csv")
    assert fixed["formula"].tolist() == ["TiO2", "NaCl", "Ti-6Al-4V"]


def test_strict_fails_where_a_row_cannot_be_used(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text("formula,gap\nTi02,3.2\nNaCl,8.5\n")
    found = xtalshift("check", table, "--strict")
    assert found.code == 1
    assert "1 of 2 rows cannot be used" in found.err
    assert xtalshift("check", table, "--fix", table).code == 1
    assert xtalshift("check", tmp_path / "none.csv").code == 1


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text("formula,gap\nNaCl,8.5\n")
    found = xtalshift("check", table, "--fix", tmp_path / "fixed.xlsx")
    assert "must end in .csv or .parquet" in found.err
    assert (found.code, found.out) == (1, "")


def test_a_clean_table(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text("formula,gap\nNaCl,8.5\nKCl,8.4\n")
    assert "Nothing odd was found." in xtalshift("check", table).out


def test_names_of_columns_with_commas_and_repeated_options(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text('formula,gap,"T, K",p\nNaCl,8.5,300,1\nKCl,8.4,hot,2\n')
    found = xtalshift("check", table, "--target", "gap", "--feature-cols", '"T, K",p')
    assert "- column 'T, K': not a number (1 row)" in found.out
    repeated = ("--feature-cols", '"T, K"', "--feature-cols", "p")
    assert xtalshift("check", table, "--target", "gap", *repeated).out == found.out
    wide = tmp_path / "wide.csv"
    wide.write_text('"Fe, wt%",C wt%,Cr wt%,strength\n90,1,9,800\n80,2,18,900\n')
    columns = ("--composition-columns", '"Fe, wt%"', "--composition-columns", "Cr")
    assert "columns Fe, wt%, Cr wt% in wt%" in xtalshift("check", wide, *columns).out


def test_a_corrected_table_whose_cells_lost_their_unit_says_so(tmp_path, xtalshift):
    table = tmp_path / "gaps.csv"
    table.write_text("formula,gap\nNaCl,8.5 eV\nKCl,8.4 eV\n")
    found = xtalshift("check", table, "--target", "gap", "--fix", tmp_path / "fixed.csv")
    assert found.out.endswith("It does not say the unit of 'gap': --unit eV\n")
    again = ("check", tmp_path / "fixed.csv", "--unit", "eV", "--fix", tmp_path / "again.csv")
    assert "Nothing odd was found." in xtalshift(*again).out
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "fixed.csv").read_bytes()


def test_weights_are_named_in_check_and_used_in_train(xtalshift, tmp_path):
    path = tmp_path / "gaps.csv"
    rows = [f"{metal}{anion},{i},{(i % 3)}" for i, (metal, anion) in enumerate(
        (metal, anion) for metal in ("Li", "Na", "K", "Mg") for anion in ("O", "S", "F", "Cl")
    )]  # fmt: skip
    path.write_text("\n".join(["formula,gap,w", *rows, ""]))
    found = xtalshift("check", path, "--target", "gap", "--weight-col", "w")
    assert "Weights:  column 'w', 0 to 2" in found.out
    assert "weight: zero (6 rows). Such rows are left out" in found.out
    model = tmp_path / "model"
    how = ("--weight-col", "w", "--method", "ridge", "-o", model)
    found = xtalshift("train", path, "--target", "gap", *how)
    assert "weights in column 'w'" in found.out + found.err
    assert "dropped 6: weight: zero (row 1)" in found.out + found.err


def test_uncertainties_and_bounds_from_train_to_predict(xtalshift, tmp_path):
    path, model, out = tmp_path / "gaps.csv", tmp_path / "model", tmp_path / "out.csv"
    names = [metal + anion for metal in ("Li", "Na", "K", "Mg") for anion in ("O", "S", "F", "Cl")]
    rows = [f"{name},{'<3' if i < 3 else i},{0.1 + i / 20}" for i, name in enumerate(names)]
    path.write_text("\n".join(["formula,gap,s", *rows, ""]))
    how = ("--uncertainty-col", "s", "--bounds", "use", "--method", "ridge", "-o", model)
    found = xtalshift("train", path, "--target", "gap", *how)
    assert found.code == 0
    assert "gap: only bounds are known, and used (3 rows)" in found.out + found.err
    assert "uncertainties in column 's', 0.1 to 0.85" in found.out + found.err
    assert xtalshift("predict", model, path, "-o", out).code == 0
    table = pd.read_csv(out)
    inner, outer = (
        table["upper"] - table["lower"],
        table["measured_upper"] - table["measured_lower"],
    )
    assert (outer > inner).all()
