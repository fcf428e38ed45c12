import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from optimade_toys import CUBE, Server, attributes, entry, page, served, species, status, text
from xtalshift.data import optimade, optimade_pages, optimade_server
from xtalshift.data.optimade import COLUMNS, fetch_structures
from xtalshift.data.optimade_entries import read_entries
from xtalshift.data.providers import Provider, _providers, find_database, get_provider
from xtalshift.data.structure_texts import read_cells
from xtalshift.errors import DataError, FetchError, NotFoundError, UsageError

FILTER = 'elements HAS "Ga"'


@pytest.fixture
def serve(monkeypatch, tmp_path):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "cache"))
    with ExitStack() as stack:
        yield lambda entries, *faults, size=2: stack.enter_context(
            served(Server(entries, faults, size))
        )


@pytest.fixture
def waits():
    return []


@pytest.fixture
def fetch(tmp_path, waits):
    def run(server, text=FILTER, out="out.parquet", **options):
        return fetch_structures(server.source, text, tmp_path / out, sleep=waits.append, **options)

    return run


def fail(fetch, server, **options):
    with pytest.raises(FetchError) as caught:
        fetch(server, **options)
    return str(caught.value)


@pytest.mark.parametrize("out", ["out.parquet", "out.csv"])
def test_all_pages_become_one_table(serve, fetch, out):
    server = serve([entry(i, _x_gap=0.25 * i, _x_name=f"n{i}") for i in range(5)])
    found = fetch(server, out=out, fields=["_x_gap", "_x_name", "_x_gap", "_x_none"])
    frame = (pd.read_parquet if out.endswith("parquet") else pd.read_csv)(found.path)
    assert list(frame.columns) == [*COLUMNS, "_x_gap", "_x_name", "_x_none"]
    assert frame["id"].tolist() == [f"x-{i}" for i in range(5)]
    assert frame["_x_gap"].tolist() == [0.25 * i for i in range(5)]
    assert frame["_x_name"].tolist() == [f"n{i}" for i in range(5)]
    assert frame["nsites"].tolist() == [2] * 5
    assert frame.loc[0, ["formula", "elements", "last_modified"]].tolist() == [
        "AsGa", "As,Ga", "2024-01-01T00:00:00Z",
    ]  # fmt: skip
    read = read_cells(frame["structure"].tolist())
    assert (read.reasons == "").all()
    np.testing.assert_array_equal(read.structures.lattices[3], CUBE)
    assert read.structures.z.tolist() == [31, 33] * 5
    np.testing.assert_allclose(read.structures.positions[:2], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert (found.n_rows, found.n_without_structure, found.n_requests) == (5, 0, 3)
    assert (found.n_matching, found.absent) == (5, ("_x_none",))


def test_the_first_request_has_filter_and_fields(serve, fetch):
    server = serve([entry(1)])
    fetch(server, fields=["_x_gap"])
    asked = parse_qs(urlsplit(server.seen[0]).query)
    assert server.seen[0].startswith("/v1/structures?filter=elements%20HAS%20")
    assert asked["filter"] == [FILTER]
    assert asked["page_limit"] == ["100"]
    assert {"_x_gap", "species", "lattice_vectors"} <= set(asked["response_fields"][0].split(","))


def test_a_file_beside_the_table_says_where_it_comes_from(serve, fetch):
    server = serve([entry(1), entry(2, lattice_vectors=None)])
    found = fetch(server, limit=7)
    notes = json.loads(found.notes.read_text())
    assert found.notes.name == "out.parquet.source.json"
    assert notes["database"] == server.base
    assert notes["filter"] == FILTER
    assert notes["licence"] == notes["citation"] == "see the provider"
    assert (notes["rows"], notes["rows_without_structure"], notes["limit"]) == (2, 1, 7)
    age = datetime.now(UTC) - datetime.fromisoformat(notes["received"][0])
    assert timedelta(0) <= age < timedelta(minutes=5)


def test_the_same_query_is_not_asked_again_within_a_day(serve, fetch, monkeypatch):
    server = serve([entry(i) for i in range(3)])
    fetch(server)
    assert fetch(server).n_requests == 0
    assert fetch(server, limit=1).n_rows == 1
    assert len(server.seen) == 2
    assert fetch(server, refresh=True).n_requests == 2
    assert fetch(server, text="nelements=2").n_requests == 2
    assert len(server.seen) == 6
    monkeypatch.setattr(optimade_pages, "_KEPT", timedelta(0))
    assert fetch(server).n_requests == 2


def test_a_limit_stops_the_paging_and_a_larger_one_goes_on(serve, fetch):
    server = serve([entry(i) for i in range(9)])
    assert fetch(server, limit=3).n_rows == 3
    assert len(server.seen) == 2
    found = fetch(server, limit=5)
    assert (found.n_rows, found.n_requests) == (5, 1)


def test_an_interrupted_fetch_continues(serve, fetch, tmp_path):
    server = serve([entry(i) for i in range(6)], None, None, *[status(500, "down")] * 5)
    message = fail(fetch, server)
    assert "5 attempts failed, last: HTTP 500 Internal Server Error (down)" in message
    assert "4 structures were received" in message
    assert "--limit 4" in message
    assert not (tmp_path / "out.parquet").exists()
    assert fetch(server, limit=4).n_rows == 4
    assert len(server.seen) == 7
    found = fetch(server)
    assert (found.n_rows, found.n_requests) == (6, 1)
    assert "page_offset=4" in server.seen[-1]
    assert pd.read_parquet(found.path)["id"].tolist() == [f"x-{i}" for i in range(6)]


def test_a_damaged_page_on_disk_is_asked_for_again(serve, fetch, tmp_path):
    server = serve([entry(i) for i in range(6)])
    fetch(server)
    pages = sorted((tmp_path / "cache").rglob("*.json"))
    pages[1].write_text('{"url": ')
    found = fetch(server)
    assert (found.n_rows, found.n_requests) == (6, 2)


def test_a_refresh_that_fails_keeps_what_was_there(serve, fetch):
    server = serve([entry(i) for i in range(3)], None, None, status(401))
    fetch(server)
    assert "asks for a login" in fail(fetch, server, refresh=True)
    assert fetch(server).n_requests == 0


@pytest.mark.parametrize("code", [429, 503])
def test_a_pause_that_the_server_names_is_kept(serve, fetch, waits, code):
    server = serve([entry(1)], status(code, Retry_After="17"), status(code))
    assert fetch(server).n_rows == 1
    assert waits == [17.0, 2.0]


def test_a_pause_may_be_a_date(serve, fetch, waits):
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    fetch(serve([entry(1)], status(429, Retry_After=then)))
    assert 60.0 < waits[0] <= 90.0


def test_too_long_a_pause_ends_the_fetch(serve, fetch, waits):
    message = fail(fetch, serve([entry(1)], status(429, Retry_After="86400")))
    assert "the server asks to wait 86400 s" in message
    assert waits == []


@pytest.mark.parametrize(
    "fault",
    [status(500), status(502), text(b'{"data": [', claim=500), text(b'{"data": [{"id": "x')],
)
def test_passing_faults_are_tried_again(serve, fetch, waits, fault):
    server = serve([entry(1)], fault, fault)
    assert fetch(server).n_rows == 1
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(400, "no property 'elemnts'"), "does not understand the filter: HTTP 400 Bad"),
        (status(400, "no property 'elemnts'"), "(no property 'elemnts')"),
        (status(501, "HAS ONLY"), "(HAS ONLY)"),
        (status(401), "asks for a login"),
        (status(404), "is this the address of an OPTIMADE database?"),
        (text(b"<html><body>Hello"), "no JSON (it begins '<html><body>Hello')"),
        (text(b'{"result": 1}'), 'it needs a list "data"'),
        (text(b'{"data": [{"type": "structures"}]}'), "an entry has no id"),
        (status(302, Location="http://127.0.0.2:1/v1"), "leads to another server"),
        (page(links={"next": "http://127.0.0.2:1/v1/structures"}), "leads to another server"),
        (page(links={"next": "ftp://127.0.0.1/"}), "is no address of a web server"),
        (page(meta={"more_data_available": True}, links={}), "there are more data"),
    ],
)
def test_lasting_faults_are_said_at_once(serve, fetch, waits, fault, said):
    server = serve([entry(1)], fault)
    message = fail(fetch, server)
    assert said in message
    assert server.base in message
    assert waits == []
    assert len(server.seen) == 1


def test_refused_access_is_tried_once_without_a_length_of_pages(serve, fetch):
    server = serve([entry(1)], status(403, "page_limit too large"))
    assert fetch(server).n_rows == 1
    assert "page_limit" not in server.seen[1]
    server = serve([entry(1)], status(403, "no entry"), status(403, "no entry"))
    assert "(no entry); the provider refuses access" in fail(fetch, server)


def test_the_same_next_link_for_ever_is_noticed(serve, fetch):
    link = {"next": "/v1/structures?page_offset=2"}
    server = serve([entry(i) for i in range(9)], page(links=link), page(links=link))
    assert "its next link was there before" in fail(fetch, server)


def test_pages_with_nothing_new_are_noticed(serve, fetch):
    faults = [page(data=[entry(1)], links={"next": f"/v1/structures?k={i}"}) for i in range(9)]
    server = serve([], *faults)
    message = fail(fetch, server)
    assert "this one has nothing new" in message
    assert "1 structures were received" in message
    assert len(server.seen) == 2


def test_pages_without_end_are_noticed(serve, fetch, monkeypatch):
    monkeypatch.setattr(optimade_pages, "MOST_PAGES", 3)
    server = serve([entry(i) for i in range(99)])
    assert "more than 3; ask for less" in fail(fetch, server)
    assert len(server.seen) == 4


def test_a_reply_without_end_is_noticed(serve, fetch, monkeypatch):
    monkeypatch.setattr(optimade_server, "LARGEST_REPLY", 2**20)
    server = serve([], text(b" " * 2**21))
    assert "has more than 1 MiB" in fail(fetch, server)


def test_structures_that_come_twice_are_written_once(serve, fetch):
    server = serve([entry(1), entry(2), entry(2), entry(3)])
    assert pd.read_parquet(fetch(server).path)["id"].tolist() == ["x-1", "x-2", "x-3"]


def test_no_structure_that_matches_is_a_table_without_rows(serve, fetch):
    found = fetch(serve([]))
    assert found.n_rows == 0
    assert list(pd.read_parquet(found.path).columns) == list(COLUMNS)


def test_odd_values_are_written_and_kill_nothing(serve, fetch):
    odd = entry(1, chemical_formula_reduced="\ud800", nsites="two", elements=3, _x_gap=[1, 2])
    server = serve([odd, {"id": "x-2"}, {"id": "x-3", "attributes": {"_x_gap": 10**400}}], size=9)
    found = fetch(server, fields=["_x_gap"])
    frame = pd.read_parquet(found.path)
    assert frame.loc[0, "formula"] == "\ufffd"
    assert frame["_x_gap"].tolist()[:2] == ["[1, 2]", None]
    assert frame["nsites"].isna().all()
    assert found.n_without_structure == 3


def test_disorder_becomes_occupancies():
    alloy = species("M", ["Ga", "Al", "vacancy"], [0.5, 0.3, 0.2])
    about = attributes(
        chemical_formula_reduced="Al3As10Ga5",
        species=[alloy, species("As")],
        species_at_sites=["M", "As"],
    )
    read = read_entries([about])
    assert read.reasons.tolist() == [""]
    assert read.structures.z.tolist() == [31, 13, 33]
    assert read.structures.occupancies.tolist() == [0.5, 0.3, 1.0]
    assert read.notes[0] == "partly occupied: 2 of 3 atoms"


def test_groups_of_an_assembly_share_a_place():
    about = attributes(
        nsites=3,
        cartesian_site_positions=[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [2.0, 2.0, 2.05]],
        species_at_sites=["Ga", "Ga", "As"],
        assemblies=[{"sites_in_groups": [[0], [1]], "group_probabilities": [0.25, 0.75]}],
        structure_features=["assemblies"],
    )
    read = read_entries([about])
    assert read.reasons.tolist() == [""]
    assert read.structures.occupancies.tolist() == [0.25, 0.75, 1.0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lattice_vectors": None}, "no lattice"),
        ({"lattice_vectors": [*CUBE[:2], [None, None, None]]}, "no lattice"),
        ({"cartesian_site_positions": None}, "no positions of atoms"),
        ({"species": None}, "no species of the sites"),
        ({"species_at_sites": ["Ga"]}, "2 positions but 1 species of sites"),
        ({"species_at_sites": ["Ga", "N"]}, "a site has the species 'N'"),
        (
            {"assemblies": [{"sites_in_groups": [[-1]], "group_probabilities": [1]}]},
            "a site that does not exist",
        ),
        ({"chemical_formula_reduced": "AsGaH4"}, "the formula is AsGaH4, but no atom is H;"),
        ({"chemical_formula_reduced": "As2Ga"}, "the formula is As2Ga, but the atoms are GaAs;"),
        ({"nsites": 3}, "2 positions but 3 sites (nsites)"),
        ({"structure_features": ["implicit_atoms"]}, "some of its atoms have no positions"),
        ({"structure_features": ["site_attachments"]}, "attached to others"),
        ({"species": [{"name": "Ga"}]}, "not as OPTIMADE has it (KeyError"),
        ({"species": "Ga"}, "not as OPTIMADE has it (TypeError"),
        ({"species": [species("Ga"), species("As", ["X"])]}, "'X'"),
        ({"cartesian_site_positions": [[0, 0, None], [2, 2, 2]]}, "atom 1 (Ga) has no position"),
        ({"cartesian_site_positions": [[0, 0, 0], [0, 0, 0.1]]}, "is 0.1 angstrom from"),
    ],
)
def test_what_is_no_complete_crystal_keeps_its_row_with_a_reason(changes, reason):
    read = read_entries([attributes(**changes), attributes()])
    assert reason in read.reasons[0]
    assert read.reasons[1] == ""
    assert read.structures.sizes.tolist() == [0, 2]


def test_the_rounded_formula_of_a_disordered_crystal_is_noted():
    alloy = species("M", ["Ga", "Al"], [0.9, 0.1])
    about = attributes(
        chemical_formula_reduced="AlAsGa",
        species=[alloy, species("As")],
        species_at_sites=["M", "As"],
    )
    read = read_entries([about])
    assert read.reasons.tolist() == [""]
    assert "the formula is AlAsGa, the atoms are AlGa9As10: atoms taken" in read.notes[0]


@pytest.mark.parametrize("formula", [None, 3, "", "Xx"])
def test_a_formula_that_is_none_is_not_compared(formula):
    assert read_entries([attributes(chemical_formula_reduced=formula)]).reasons.tolist() == [""]


def test_a_layer_is_noted():
    assert "not periodic" in read_entries([attributes(dimension_types=[1, 1, 0])]).notes[0]


def test_providers_have_an_address_and_unknown_ones_a_hint():
    assert get_provider("optimade:mp").url == "https://optimade.materialsproject.org"
    assert get_provider("optimade:mp").licence == "CC BY 4.0"
    assert get_provider("optimade:https://a.org/x/v1/").url == "https://a.org/x"
    with pytest.raises(NotFoundError, match="did you mean 'oqmd'"):
        get_provider("optimade:oqdm")
    with pytest.raises(UsageError, match="needs a provider: mp, "):
        get_provider("optimade:")


@pytest.mark.parametrize(
    ("base", "link", "found"),
    [
        ("https://a.org/x", "?page=2", "https://a.org/x/v1/structures?page=2"),
        ("https://a.org/x", "http://a.org/y", "https://a.org/y"),
        ("http://a.org/x", "https://a.org/y", "https://a.org/y"),
        ("https://a.org/x", "https://b.org/y", None),
        ("https://a.org/x", "https://a.org:444/y", None),
        ("http://a.org:81/x", "https://a.org:81/y", None),
        ("http://a.org/x", "//b.org/y", None),
    ],
)
def test_links_stay_on_the_server(base, link, found):
    with optimade_server.Server(base) as server:
        page = f"{base}/v1/structures"
        if found:
            assert server.follow(page, link) == found
        else:
            with pytest.raises(FetchError, match="leads to another server"):
                server.follow(page, link)


def test_an_unwritable_cache_is_said(serve, fetch, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="file"):
        fetch(serve([entry(1)]))


def test_many_small_pages_are_written_in_pieces(serve, fetch, monkeypatch):
    monkeypatch.setattr(optimade, "_PIECE", 3)
    found = fetch(serve([entry(i) for i in range(7)]))
    assert pd.read_parquet(found.path)["id"].tolist() == [f"x-{i}" for i in range(7)]
    assert pq.ParquetFile(found.path).num_row_groups == 2


def link(url, kind="child"):
    return {"id": url, "attributes": {"name": f"at {url}", "base_url": url, "link_type": kind}}


def test_a_provider_with_a_list_of_databases_is_asked_for_it(serve):
    one = link({"href": "https://a.org/x/"})
    server = serve([one, link("https://b.org", "providers"), {"id": "odd"}], size=9)
    provider = Provider(name="p", title="P", index=server.base)
    assert find_database(provider) == "https://a.org/x"
    assert server.seen == ["/v1/links"]
    server.entries.append(link("https://b.org/y"))
    with pytest.raises(
        UsageError, match=r"P has 2 databases; give one: .*optimade:https://b\.org/y"
    ):
        find_database(provider)
    server.entries.clear()
    with pytest.raises(FetchError, match="lists no database of P"):
        find_database(provider)


def test_every_provider_of_the_table_is_complete():
    for name in _providers():
        provider = get_provider(f"optimade:{name}")
        assert bool(provider.url) != bool(provider.index)
        assert (provider.url or provider.index).startswith("https://")
        assert not (provider.url or provider.index).endswith(("/", "/v1"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": " "}, "this asks for the whole database"),
        ({"limit": 0}, "the limit must be 1 or more"),
        ({"fields": ["a b"]}, "'a b' is no property"),
        ({"fields": ["structure"]}, "'structure' is no property"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_asked(serve, fetch, options, said):
    server = serve([entry(1)])
    with pytest.raises(UsageError, match=said):
        fetch(server, **options)
    assert server.seen == []
