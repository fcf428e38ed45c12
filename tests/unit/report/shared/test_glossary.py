import re

from xtalshift.report.shared.glossary import GLOSSARY, explain_terms


def plain(html):
    return re.sub(r"<[^>]*>", "", html)


def test_the_first_use_of_each_term_is_explained_and_the_text_is_kept():
    html = "<p>The OOD score and the domain; the domain again.</p><li>intervals</li>"
    found = explain_terms(html)
    assert plain(found) == plain(html)
    assert re.findall(r">([^<]*)</button>", found) == ["OOD score", "domain", "intervals"]
    assert 'aria-describedby="term-OOD-score"' in found


def test_only_prose_is_changed():
    html = '<h2>domain</h2><td>interval</td><p class="domain" title="seed">no term</p>'
    assert explain_terms(html) == html


def test_words_that_contain_a_term_are_not_terms():
    html = "<p>covalent, void, IDs, multi-seed, interval-like, seeded</p>"
    assert explain_terms(html) == html


def test_terms_are_in_order_and_have_anchors_of_their_own():
    names = [term.name.lower().replace("²", "") for term in GLOSSARY]
    assert names == sorted(names)
    assert len({term.anchor for term in GLOSSARY}) == len(GLOSSARY)
    for term in GLOSSARY:
        assert re.fullmatch(r"[\w-]+", term.anchor)
        assert term.meaning.endswith(".")
        used = f"<p>{term.name}, {term.name} with</p>"
        assert term.anchor in explain_terms(used), term.name
