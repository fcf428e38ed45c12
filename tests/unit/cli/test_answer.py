"""The answer about candidates on the terminal."""

from report_toys import toy_answer
from xtalshift.cli.answer import print_answer


def test_the_answer_is_printed_with_its_hold_outs(capsys):
    print_answer(toy_answer(), "eV")
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["Se", "20", "1.2", "0.250", "0.500", "0.70", "90", "%", "x0.80"] in lines
    assert ["S", "20", "1.2", "1.00", "2.00", "0.70", "90", "%", "x0.80"] in lines
    assert "You can trust the predictions." in text
    assert text.index("You can trust") < text.index("Expect a mean") < text.index("Measure first")
